"""Which files of a process are shown, and which process it is."""

from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """A file of a process that takes a look at its memory."""

    MAPS = "maps"
    SMAPS = "smaps"
    SMAPS_ROLLUP = "smaps_rollup"
    NUMA_MAPS = "numa_maps"


class Watched(Protocol):
    """A process, or a thread of it, as those know it who ask. It is equal to no other one."""

    @property
    def pid(self) -> int:
        """Its number in the procfs that is read; another one may have it later."""

    def check(self) -> None:
        """Raise OSError ESRCH if it is gone."""
