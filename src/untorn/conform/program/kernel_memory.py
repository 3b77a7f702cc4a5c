"""One address space of the kernel, as /proc shows it."""

import errno
import os
from pathlib import Path
from typing import TypeVar

from untorn.conform.kernel_side import COUNTS
from untorn.conform.program.faults import OwnPages
from untorn.conform.program.processes import Thread
from untorn.conform.program.takes import Facts, facts_of
from untorn.conform.traced.member import pages_of, read_whole
from untorn.errors import os_error

_T = TypeVar("_T")


class KernelMemory:
    """The files in /proc of an address space, whichever thread they were opened through.

    Reading raises OSError ESRCH once the address space, or the thread, is gone.

    Attributes:
        pages: Finds pages of its own.
    """

    def __init__(self, thread: Thread) -> None:
        """Open them. Raises OSError if the thread ended."""
        self._maps = os.open(f"/proc/{thread.tid}/maps", os.O_RDONLY | os.O_CLOEXEC)
        self.pages = OwnPages(thread.tid)

    def maps(self) -> bytes:
        """Return the text of its maps."""
        return _there(read_whole(self._maps))

    def counts(self, thread: Thread) -> dict[str, int]:
        """Return its counters, in pages; it must be that of this thread."""
        return _there(pages_of(thread.status(), COUNTS))

    def facts(self, thread: Thread) -> dict[int, Facts]:
        """Return what smaps says of each VMA, by its start; it must be that of this thread."""
        return facts_of(_there(Path(f"/proc/{thread.tid}/smaps").read_bytes()))

    def close(self) -> None:
        """Close the files."""
        os.close(self._maps)
        self.pages.close()


def _there(told: _T) -> _T:
    """Return what /proc says, or raise: of what is gone it says nothing."""
    if not told:
        raise os_error(errno.ESRCH)
    return told
