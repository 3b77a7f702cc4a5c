"""Stage: processes with a few small VMAs, and tasks that read and write; a scenario sets it up.

Addresses are pages, counted from BASE. VMA objects come from one slab with a few to spare, which
all processes of a scenario share: any may get what another frees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from untorn.check.runtime import running
from untorn.check.runtime.execution import Job
from untorn.check.stage.ghost import GhostHistory
from untorn.check.stage.page_history import PageHistory
from untorn.check.stage.pages import Pages
from untorn.check.stage.readers import Access, PagemapReader, Reader
from untorn.fs.proc.files import PROC_FILES
from untorn.fs.proc.show_map import show_map
from untorn.maps.maps_file import FILL_SIZE
from untorn.mm.limits import Limits
from untorn.mm.mm_types import MmStruct, Vma, VmaSlab
from untorn.releases.release import Release

CHECKED = Release(6, 18)
"""The release that is checked unless a scenario says so, wherever that is done: a schedule is good
everywhere."""
SPARE = 6
"""VMA objects in the slab at the start."""


@dataclass(slots=True)
class Stage:
    """What a scenario sets up.

    Attributes:
        process: The process whose maps are read.
        others: Further processes of the same slab.
        names: Names of the tasks.
        jobs: What they do.
        readers: The tasks that read maps.
        pagemaps: The tasks that read pagemap.
        accesses: The tasks that access a page.
        written: Pages that must be resident at the end, if they are mapped then.
        pinned: VMAs with an additional count, which no reader of the scenario holds.
        history: The published states of the process's map; see begin_history().
    """

    slab: VmaSlab = field(default_factory=VmaSlab)
    others: list[Pages] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    pagemaps: list[PagemapReader] = field(default_factory=list)
    accesses: list[Access] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    pinned: dict[Vma, int] = field(default_factory=dict)
    process: Pages = field(init=False)
    history: GhostHistory = field(init=False)

    def __post_init__(self) -> None:
        """Make the process, and VMA objects to spare."""
        self.process = self.new_process()
        for spare in range(SPARE):
            self.process.map(2 * spare, 2 * spare + 1)
        self.process.unmap(0, 2 * SPARE)

    def new_process(self, name: str = "mm") -> Pages:
        """Return a process whose VMA objects come from the slab; name is that of its mm."""
        return Pages(
            MmStruct(name, limits=Limits(), gate_vma=False, slab=self.slab, release=CHECKED)
        )

    def of_release(self, release: Release) -> None:
        """Let the process, which maps nothing yet, behave like this release, not CHECKED."""
        self.process.mm.release = release

    def other(self) -> Pages:
        """Return another process, which no task reads."""
        self.others.append(self.new_process(f"mm {len(self.others) + 2}"))
        return self.others[-1]

    def read(self, kind: str = "maps", locking: str = "vma_lock", size: int = FILL_SIZE) -> Reader:
        """Add a task that makes a pass over the process's map."""
        file = self.process.open(kind if kind in PROC_FILES else "maps", locking)
        reader = Reader(len(self.jobs), kind, file, size)
        reader.keeps_mmap_lock = locking == "mmap_lock"
        self.readers.append(reader)
        self.task(f"reader {len(self.readers)}" if len(self.readers) > 1 else "reader", reader.run)
        return reader

    @property
    def every_reader(self) -> list[Reader | PagemapReader]:
        """Those of maps, then those of pagemap."""
        return [*self.readers, *self.pagemaps]

    def read_pagemap(self, *reads: tuple[int, int]) -> None:
        """Add a task that reads ranges of the process's pagemap, each from a page to an end."""
        reader = PagemapReader(len(self.jobs), self.process.open_pagemap(), reads)
        self.pagemaps.append(reader)
        self.task("reader", reader.run)

    def begin_history(self) -> None:
        """Begin to record published states; the set-up is complete."""
        reads = [read for reader in self.pagemaps for read in reader.reads]
        pages = None
        if reads:
            first, end = min(first for first, _ in reads), max(end for _, end in reads)
            pages = PageHistory(self.process.mm, range(first, end))
        self.history = GhostHistory(self.process, pages)

    def access(self, page: int, *, write: bool) -> None:
        """Add a task that reads or writes a page once."""
        access = Access(len(self.jobs), self.process, page, write)
        self.accesses.append(access)
        number = f" {len(self.accesses)}" if len(self.accesses) > 1 else ""
        self.task(f"fault{number}", access.run)

    def line_size(self) -> int:
        """Return how many bytes of maps a VMA takes: a read() of that many is one fill."""
        return len(show_map(self.process.vma(0)))

    def write(self, *operations: Job, name: str = "writer") -> None:
        """Add a task that makes system calls in turn; one that returns False was refused."""

        def write() -> None:
            run = running.run
            assert run is not None
            for operation in operations:
                began = run.steps
                if operation() is False:
                    self.history.refused(began)

        self.task(name, write)

    def task(self, name: str, job: Job) -> None:
        """Add a task."""
        self.names.append(name)
        self.jobs.append(job)

    def pin(self, vma: Vma, count: int) -> None:
        """Give a VMA a count that it keeps."""
        vma.vm_refcnt.store(count)
        self.pinned[vma] = count

    def roots(self) -> dict[str, object]:
        """Return what tasks share, by name.

        VMAs have letters, in address order; objects to spare numbers, the next to be used first.
        """
        vmas = [vma for _, _, vma in self.process.mm.mm_mt]
        return {
            **{chr(ord("A") + number): vma for number, vma in enumerate(vmas)},
            "mm": self.process.mm,
            **{f"file {r.task}": r.file for r in self.every_reader},
            **{other.mm.name: other.mm for other in self.others},
            **{f"VMA {number}": vma for number, vma in enumerate(self._spares(), 1)},
            "process": self.process,
            "others": self.others,
            "slab": self.slab,
        }

    def _spares(self) -> Iterator[Vma]:
        free: Any = self.slab._free
        while free is not None:
            yield free[0]
            free = free[1]
