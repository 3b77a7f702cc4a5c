"""A process as those know it who ask a host for it."""

import errno
from dataclasses import dataclass

from untorn.errors import os_error
from untorn.reader.access.task import start_time


@dataclass(frozen=True)
class Known:
    """A process by its number and its start; 0 for one that is not to be real."""

    pid: int
    start: int | None

    @classmethod
    def now(cls, pid: int) -> "Known":
        """The one that has this number now."""
        return cls(pid, start_time(pid, "/proc"))

    def check(self) -> None:
        if self.start != 0 and start_time(self.pid, "/proc") != self.start:
            raise os_error(errno.ESRCH)
