"""Stage: what a scenario sets up: processes with a few small VMAs, and tasks that read and write.

Addresses are pages, counted from BASE. VMA objects come from one slab with a few to spare, which
all processes of a scenario share: what one frees, any may get.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from untorn.check import runtime
from untorn.check.ghost import GhostHistory, Look
from untorn.fs.proc.maps import ProcMapsFile
from untorn.fs.proc.procmap_query import QueriedVma, QueryFlags
from untorn.fs.proc.smaps import ProcSmapsFile
from untorn.mm.limits import Limits
from untorn.mm.mm_struct import MmStruct
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.mm.page import PAGE_SIZE
from untorn.mm.vma import Vma, VmaSlab
from untorn.syscalls import Process

BASE = 0x10000
RW = PROT_READ | PROT_WRITE
R = PROT_READ
NONE = 0
ANON = MAP_ANONYMOUS | MAP_PRIVATE
SPARE = 6
"""VMA objects in the slab at the start."""
BUFFER = 1 << 16

Job = Callable[[], object]


def addr(page: int) -> int:
    """Return the byte address of a page."""
    return BASE + page * PAGE_SIZE


def page_of(address: int) -> int:
    """Return the page of a byte address."""
    return (address - BASE) // PAGE_SIZE


class Pages(Process):
    """A process, spoken to in pages."""

    __slots__ = ()

    def map(self, first: int, end: int, prot: int = RW) -> None:
        """Map anonymous memory, over whatever is there."""
        self.mmap(addr(first), (end - first) * PAGE_SIZE, prot, ANON | MAP_FIXED)

    def unmap(self, first: int, end: int) -> None:
        """Unmap."""
        self.munmap(addr(first), (end - first) * PAGE_SIZE)

    def protect(self, first: int, end: int, prot: int) -> None:
        """Change protection."""
        self.mprotect(addr(first), (end - first) * PAGE_SIZE, prot)

    def resize(self, first: int, end: int, new_end: int) -> None:
        """Shrink, or grow in place."""
        self.mremap(addr(first), (end - first) * PAGE_SIZE, (new_end - first) * PAGE_SIZE, 0)

    def move(self, first: int, end: int, place: int) -> None:
        """Move to another place, over whatever is there."""
        length = (end - first) * PAGE_SIZE
        self.mremap(addr(first), length, length, MREMAP_MAYMOVE | MREMAP_FIXED, addr(place))

    def vma(self, page: int) -> Vma:
        """Return the VMA at a page, or the next one; for the set-up."""
        vma: Vma = self.mm.mm_mt.find(addr(page))
        return vma


@dataclass(slots=True)
class Reader:
    """A task that makes one pass over a map, and what it got.

    Attributes:
        task: Its number among the tasks.
        kind: maps, smaps, query (a walk by queries) or query-one (one query, of page 0).
        file: What it reads.
        size: Bytes wanted of each read().
        looks: Its reads or queries of this run.
        judged: What it got is a whole pass, to be judged.
        killable: It may be killed.
        limited: It met VMAs at their limit of readers: mmap_lock may be held for a whole fill.
    """

    task: int
    kind: str
    file: ProcMapsFile | ProcSmapsFile
    size: int = BUFFER
    looks: list[Look] = field(default_factory=list)
    judged: bool = True
    killable: bool = False
    limited: bool = False

    @property
    def start(self) -> int:
        """Byte address where the pass starts."""
        return addr(0) if self.kind == "query-one" else 0

    def run(self) -> None:
        """Make the pass."""
        if self.kind == "query-one":
            self._look(partial(self._query, addr(0)))
        elif self.kind == "query":
            self._query_all()
        else:
            while self._look(partial(self.file.read, self.size)):
                pass

    def _query_all(self) -> None:
        at = 0
        while True:
            vma = self._look(partial(self._query, at))
            if not isinstance(vma, QueriedVma):
                return
            at = vma.end

    def _query(self, at: int) -> QueriedVma | None:
        try:
            return self.file.query(at, QueryFlags.COVERING_OR_NEXT_VMA)
        except (FileNotFoundError, ProcessLookupError):
            return None
        except InterruptedError:
            if not self.killable:
                raise
            self.judged = False
            return None

    def _look(self, look: Callable[[], object]) -> object:
        run = runtime.run
        assert run is not None
        began = run.steps
        text = look()
        self.looks.append(Look(self.task, began, run.steps - 1, text))
        return text


@dataclass(slots=True)
class Stage:
    """What a scenario sets up.

    Attributes:
        process: Whose maps are read.
        others: Further processes of the same slab.
        names: Of the tasks.
        jobs: What they do.
        readers: Those of them that read.
        pinned: VMAs with a count that no reader of the scenario gave them.
        history: What is published of the process's map; begun when all is set up.
    """

    slab: VmaSlab = field(default_factory=VmaSlab)
    others: list[Pages] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    pinned: dict[Vma, int] = field(default_factory=dict)
    process: Pages = field(init=False)
    history: GhostHistory = field(init=False)

    def __post_init__(self) -> None:
        """Make the process, and VMA objects to spare."""
        self.process = self.new_process()
        for spare in range(SPARE):
            self.process.map(2 * spare, 2 * spare + 1)
        self.process.unmap(0, 2 * SPARE)

    def new_process(self) -> Pages:
        """Return a process whose VMA objects come from the slab."""
        mm = MmStruct(limits=Limits(), gate_vma=False, slab=self.slab)
        return Pages(mm)

    def other(self) -> Pages:
        """Return another process, which nobody reads."""
        self.others.append(self.new_process())
        return self.others[-1]

    def read(self, kind: str = "maps", strategy: str = "vma_lock", size: int = BUFFER) -> Reader:
        """Add a task that makes a pass over the process's map."""
        opened = self.process.open_smaps if kind == "smaps" else self.process.open_maps
        reader = Reader(len(self.jobs), kind, opened(strategy), size)
        self.readers.append(reader)
        self.task(f"reader {len(self.readers)}" if len(self.readers) > 1 else "reader", reader.run)
        return reader

    def write(self, *operations: Job, name: str = "writer") -> None:
        """Add a task that makes one system call after the other."""

        def write() -> None:
            for operation in operations:
                operation()

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
        """Return what tasks share, by name; VMAs by letters, in address order."""
        vmas = [vma for _, _, vma in self.process.mm.mm_mt]
        return {
            **{chr(ord("A") + number): vma for number, vma in enumerate(vmas)},
            "mm": self.process.mm,
            **{f"file {r.task}": r.file for r in self.readers},
            **{f"mm {number + 2}": other.mm for number, other in enumerate(self.others)},
            "process": self.process,
            "others": self.others,
            "slab": self.slab,
        }
