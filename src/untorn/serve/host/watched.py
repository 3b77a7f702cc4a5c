"""Which files of a process are shown, and how a process is identified."""

from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """A file of a process that takes a look at its memory."""

    MAPS = "maps"
    SMAPS = "smaps"
    SMAPS_ROLLUP = "smaps_rollup"
    NUMA_MAPS = "numa_maps"


class Watched(Protocol):
    """A process or thread, as a server identifies it. No two are equal."""

    @property
    def pid(self) -> int:
        """Its PID in the procfs that is read; another process may have it later."""

    def check(self) -> None:
        """Raise OSError ESRCH if it is gone."""
