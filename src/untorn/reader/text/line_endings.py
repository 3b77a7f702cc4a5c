"""The endings of lines of maps: device, inode and name, which many lines share."""

import os
import re

import numpy as np
import numpy.typing as npt

from untorn.maps.entry import ENDING
from untorn.maps.page import ULONG_MAX
from untorn.reader.text.hex_field import Positions, Truths, gather

_ENDING = re.compile(ENDING)
_GUESSES = 4
_FEW = 64
"""Endings; so few are looked up faster one by one."""


class LineEndings(dict[bytes, int]):
    """Maps the text from the device to the newline to its row in device, inode and name.

    An ending is parsed when it is first looked up, and gets -1 if it is invalid. Row 0 is that of
    plain lines.
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

    def rows(self, text: bytes, at: Positions, newline: Positions) -> Positions:
        """Return the row of the text from each position to each newline; -1 if it is not an ending.

        A few endings that probably occur often are compared with all lines at once.
        """
        rows = np.empty(len(at), np.intp)
        left = np.arange(len(at))
        for _ in range(_GUESSES):
            if len(left) < _FEW:
                break
            ending = text[at[left[0]] : newline[left[0]]]
            same = _stands_at(ending, text, at[left], newline[left])
            rows[left[same]] = self[ending]
            left = left[~same]
        cuts = zip(at[left].tolist(), newline[left].tolist(), strict=True)
        rows[left] = [self[text[begin:end]] for begin, end in cuts]
        return rows

    def add(self, device: tuple[int, int], inode: int, name: bytes) -> int:
        """Add a row; return its number."""
        self.device.append(os.makedev(*device))
        self.inode.append(inode)
        self.name.append(self.names.setdefault(name, len(self.names)))
        return len(self.name) - 1

    def columns(self, rows: npt.NDArray[np.int32]) -> dict[str, npt.NDArray[np.generic]]:
        """Return the columns of lines whose endings have these rows."""
        return {
            "device": np.array(self.device, np.uint64)[rows],
            "inode": np.array(self.inode, np.uint64)[rows],
            "name": np.array(self.name, np.int32)[rows],
        }


def _stands_at(ending: bytes, text: bytes, at: Positions, newline: Positions) -> Truths:
    """Return where an ending fills the space from a position to a newline."""
    same: Truths = newline - at == len(ending)
    if not ending:
        return same
    places = np.flatnonzero(same)
    found = gather(text, at[places], len(ending))
    if found.tobytes() != ending * len(places):
        letters = found.view(np.uint8).reshape(-1, len(ending))
        same[places] = (letters == np.frombuffer(ending, np.uint8)).all(axis=1)
    return same
