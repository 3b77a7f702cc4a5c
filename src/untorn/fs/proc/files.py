"""The files of /proc/PID that tell of VMAs: what each shows, and how it can be read.

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
    """One file.

    Attributes:
        records: Makes what it shows, a record for each VMA or one for all. The second and third
            argument are None together: a process without an address space.
        lockings: How VMAs are kept still meanwhile, by name.
        opened: What an open one is; maps alone can also be asked.
        per_vma: By which Linux locks one VMA at a time; None if it always takes mmap_lock.
    """

    records: Callable[[ProcTask, MmStruct | None, L | None], SeqOperations[Any]]
    lockings: Mapping[str, type[L]]
    opened: type[ProcVmaFile] = ProcVmaFile
    per_vma: Change | None = None

    def open(self, task: ProcTask, reader: str) -> ProcVmaFile:
        """Open the file of a process, to be read by one of its lockings.

        Raises:
            OSError: ENOENT if the process was reaped, EACCES if the opener may not look into it,
                or what records() raises.
            ValueError: There is no such locking for this file; the message names those there are.
        """
        kind = self.lockings.get(reader)
        if kind is None:
            raise ValueError(f"no reader {reader}; readers: {', '.join(self.lockings)}")
        mm = proc_mem_open(task)
        locking = None if mm is None else kind(mm)
        return self.opened(mm, locking, self.records(task, mm, locking))

    def locking_of(self, release: Release) -> str:
        """Name the locking by which a release of Linux reads the file."""
        per_vma = self.per_vma is not None and release.has(self.per_vma)
        return "vma_lock" if per_vma else "mmap_lock"


PROC_FILES: Mapping[str, ProcFile[Any]] = {
    "maps": ProcFile(ProcMaps, MAPS_LOCKINGS, ProcMapsFile, MAPS_PER_VMA),
    "smaps": ProcFile(ProcSmaps, PAGE_WALK_LOCKINGS, per_vma=SMAPS_PER_VMA),
    "smaps_rollup": ProcFile(ProcSmapsRollup, PAGE_WALK_LOCKINGS),
    "numa_maps": ProcFile(ProcNumaMaps, PAGE_WALK_LOCKINGS, per_vma=SMAPS_PER_VMA),
}
"""By name; the running kernel's files have the same names."""
