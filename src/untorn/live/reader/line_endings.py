"""What lines of maps end with: device, inode and name, the same in many lines."""

import os
import re

import numpy as np
import numpy.typing as npt

from untorn.fs.proc.maps_entry import ENDING
from untorn.mm.page import ULONG_MAX

_ENDING = re.compile(ENDING)


class LineEndings(dict[bytes, int]):
    """The text from the device to the newline, and its row in device, inode and name.

    What is looked up the first time is taken apart; it gets -1 if it is no ending. Row 0 is that
    of plain lines.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[bytes, int] = {b"": 0}
        self.device, self.inode, self.name = [0], [0], [0]

    def __missing__(self, ending: bytes) -> int:
        match = _ENDING.fullmatch(ending)
        if match is None or int(match[3]) > ULONG_MAX:
            self[ending] = -1
        else:
            name = (match[4] or b"").replace(b"\\012", b"\n")
            self[ending] = self.add((int(match[1], 16), int(match[2], 16)), int(match[3]), name)
        return self[ending]

    def add(self, device: tuple[int, int], inode: int, name: bytes) -> int:
        """Take a row up; return its number."""
        self.device.append(os.makedev(*device))
        self.inode.append(inode)
        self.name.append(self.names.setdefault(name, len(self.names)))
        return len(self.name) - 1

    def columns(self, rows: npt.NDArray[np.intp]) -> dict[str, npt.NDArray[np.generic]]:
        """Return the columns of lines that end with these rows."""
        return {
            "device": np.array(self.device, np.uint64)[rows],
            "inode": np.array(self.inode, np.uint64)[rows],
            "name": np.array(self.name, np.int32)[rows],
        }
