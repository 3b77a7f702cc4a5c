"""The files of /proc/PID about VMAs: what each one shows, and the lockings it can be read with.

Compare fs/proc/base.c:tgid_base_stuff and fs/proc/task_mmu.c.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from untorn.fs.proc.base import ProcTask, proc_mem_open
from untorn.fs.proc.maps import ProcMapsFile
from untorn.fs.proc.maps_locking import MAPS_LOCKINGS, PAGE_WALK_LOCKINGS, MapsLocking
from untorn.fs.proc.numa_maps import ProcNumaMaps
from untorn.fs.proc.smaps import ProcSmaps
from untorn.fs.proc.smaps_rollup import ProcSmapsRollup
from untorn.fs.proc.task_mmu import ProcMaps
from untorn.fs.proc.vma_file import ProcVmaFile
from untorn.fs.seq_file import SeqOperations
from untorn.mm.mm_types import MmStruct
from untorn.releases.changes import MAPS_PER_VMA, SMAPS_PER_VMA
from untorn.releases.release import Change, Release

L = TypeVar("L", bound=MapsLocking)


@dataclass(frozen=True, slots=True)
class ProcFile(Generic[L]):
    """One of the files.

    Attributes:
        records: Makes the records that it shows, one for each VMA or one for all. The second and
            third argument are both None for a process without an address space.
        lockings: The ways to keep VMAs still during a read, by name.
        opened: The class of an open file. That of maps also has the ioctl.
        per_vma: The change since which Linux locks one VMA at a time; None if it always takes
            mmap_lock.
    """

    records: Callable[[ProcTask, MmStruct | None, L | None], SeqOperations[Any]]
    lockings: Mapping[str, type[L]]
    opened: type[ProcVmaFile] = ProcVmaFile
    per_vma: Change | None = None

    def open(self, task: ProcTask, reader: str) -> ProcVmaFile:
        """Open the file of a process, to be read with one of its lockings.

        Raises:
            OSError: ENOENT if the process was reaped, EACCES if the opener may not look into it,
                or what records() raises.
            ValueError: This file has no such locking; the message names those that it has.
        """
        kind = self.lockings.get(reader)
        if kind is None:
            raise ValueError(f"no reader {reader}; readers: {', '.join(self.lockings)}")
        mm = proc_mem_open(task)
        locking = None if mm is None else kind(mm)
        return self.opened(mm, locking, self.records(task, mm, locking))

    def locking_of(self, release: Release) -> str:
        """Return the name of the locking that a release of Linux uses to read the file."""
        per_vma = self.per_vma is not None and release.has(self.per_vma)
        return "vma_lock" if per_vma else "mmap_lock"


PROC_FILES: Mapping[str, ProcFile[Any]] = {
    "maps": ProcFile(ProcMaps, MAPS_LOCKINGS, ProcMapsFile, MAPS_PER_VMA),
    "smaps": ProcFile(ProcSmaps, PAGE_WALK_LOCKINGS, per_vma=SMAPS_PER_VMA),
    "smaps_rollup": ProcFile(ProcSmapsRollup, PAGE_WALK_LOCKINGS),
    "numa_maps": ProcFile(ProcNumaMaps, PAGE_WALK_LOCKINGS, per_vma=SMAPS_PER_VMA),
}
"""The files by name, which are the names that the running kernel uses."""
