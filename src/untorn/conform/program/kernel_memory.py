"""One address space of the kernel, as /proc tells of it."""

import os
from pathlib import Path

from untorn.conform.kernel_side import COUNTS
from untorn.conform.program.faults import OwnPages
from untorn.conform.program.processes import Thread
from untorn.conform.program.takes import Facts, facts_of
from untorn.conform.traced.member import pages_of, read_whole


class KernelMemory:
    """The files of /proc that are of an address space, whichever thread they were opened by.

    Attributes:
        pages: Finds pages that it owns.
    """

    def __init__(self, thread: Thread) -> None:
        """Open them. Raises OSError if the thread ended."""
        self._maps = os.open(f"/proc/{thread.tid}/maps", os.O_RDONLY | os.O_CLOEXEC)
        self.pages = OwnPages(thread.tid)

    def maps(self) -> bytes:
        """Return the text of its maps."""
        return read_whole(self._maps)

    def counts(self, thread: Thread) -> dict[str, int]:
        """Return what is counted of it, in pages; it is that of this thread."""
        return pages_of(thread.status(), COUNTS)

    def facts(self, thread: Thread) -> dict[int, Facts]:
        """Return what smaps says of each VMA, by its start; it is that of this thread."""
        return facts_of(Path(f"/proc/{thread.tid}/smaps").read_bytes())

    def close(self) -> None:
        """Close the files."""
        os.close(self._maps)
        self.pages.close()
