"""One of the processes that a child under test has become by forking."""

import os
from contextlib import suppress

from untorn.conform.traced.ptrace import Tracee

_CHUNK = 1 << 16


class Member:
    """A traced process, and what /proc says of it."""

    def __init__(self, tracee: Tracee) -> None:
        self.tracee = tracee
        self._maps = self._status = -1
        self.reopen()

    def reopen(self) -> None:
        """Open the files: those opened before an exec are of the old address space."""
        self._close()
        proc = f"/proc/{self.tracee.pid}"
        self._maps = os.open(f"{proc}/maps", os.O_RDONLY | os.O_CLOEXEC)
        self._status = os.open(f"{proc}/status", os.O_RDONLY | os.O_CLOEXEC)

    def maps(self) -> bytes:
        """Return the text of its maps."""
        text = os.pread(self._maps, _CHUNK, 0)
        while more := os.pread(self._maps, _CHUNK, len(text)):
            text += more
        return text

    def status(self) -> bytes:
        """Return the text of its status."""
        return os.pread(self._status, _CHUNK, 0)

    def end(self) -> None:
        """Kill it, wait for its end, and close the files."""
        with suppress(ProcessLookupError):
            self.tracee.end()
        self._close()

    def _close(self) -> None:
        for fd in {self._maps, self._status} - {-1}:
            os.close(fd)
        self._maps = self._status = -1
