"""A process, as a host's clients refer to it."""

import errno
from dataclasses import dataclass

from untorn.errors import os_error
from untorn.reader.access.task import start_time


@dataclass(frozen=True)
class Known:
    """A process by its PID and start time; 0 for one that need not exist."""

    pid: int
    start: int | None

    @classmethod
    def now(cls, pid: int) -> "Known":
        """Return the process that has this PID now."""
        return cls(pid, start_time(pid, "/proc"))

    def check(self) -> None:
        if self.start != 0 and start_time(self.pid, "/proc") != self.start:
            raise os_error(errno.ESRCH)
