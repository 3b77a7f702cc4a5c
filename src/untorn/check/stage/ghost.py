"""The ghost history: which states of a map its writers published, and what readers saw when.

It is kept from outside: stores to the tree's root and to mm_lock_seq are noted after they were
made. This takes no step, and no task sees it.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import cast

from untorn.check.runtime import lock_order, running
from untorn.check.runtime.counter import AtomicInt
from untorn.check.runtime.fields import WATCHED
from untorn.check.runtime.primitives import Mutex
from untorn.check.runtime.running import Run
from untorn.check.stage.page_history import PageHistory
from untorn.check.stage.pages import Pages
from untorn.check.stage.published import Published
from untorn.fs.proc.show_map import show_map
from untorn.judge.history import History, Range, State, borders, intersect
from untorn.judge.lines import parse_line
from untorn.locking import sync
from untorn.maps.page import TASK_SIZE
from untorn.mm.filemap import Page
from untorn.mm.mm_types import MMAP_LOCK, MmStruct, Vma
from untorn.mm.tree.vma_tree import VmaTree

Row = tuple[int, int, int, int, object]
"""The fields of a VMA that readers see: start, end, flags, offset, name."""
NOWHERE: Range = 0, 0


@dataclass(slots=True)
class GhostHistory(Published[State]):
    """The published states of one process's mm in one run.

    Attributes:
        process: The process.
        pages: The published states of its pages; None if no reader of the scenario needs them.
        mm: Its address space.
        sections: Write sections begun.
        torn: A transient hole that a section exposed in a range that is mapped before and after;
            empty if there was none. Only a move may do so, at its destination.
        overlocked: VMAs whose readers a section kept out without changing the VMA, with the task
            and its step. Only a fork may do so, because its child must be a copy of one moment, and
            a call that fails.
        exited: The step in which the last user left; None if it did not.
    """

    process: Pages
    pages: PageHistory | None = None
    mm: MmStruct = field(init=False)
    sections: int = 0
    torn: str = ""
    overlocked: list[tuple[int, int, str]] = field(default_factory=list)
    exited: int | None = None
    _began: int = 0
    _excluded: dict[Vma, Row | None] = field(default_factory=dict)
    """VMAs locked by a section: their fields before; None if they surely changed."""

    def __post_init__(self) -> None:
        """Note the first state, and watch for more."""
        self.mm = self.process.mm
        self.publish(-1, self._state)
        users = cast(AtomicInt, self.mm.mm_users)
        users.emptied = self._exit
        WATCHED[VmaTree, "root"].stored = self._root_stored
        WATCHED[MmStruct, "mm_lock_seq"].stored = self._seq_stored
        WATCHED[Vma, "vm_lock_seq"].stored = self._write_locked
        Mutex.released = self.pages.look if self.pages else None
        WATCHED[Page, "mapcount"].stored = self._mapcount_stored

    def begin(self, keep: int) -> None:
        """Start a run whose first `keep` steps are those of the run before."""
        self.keep(keep)
        if self.pages:
            self.pages.keep(keep)
        self.sections = 0
        self.torn = ""
        self.overlocked.clear()
        self.exited = None
        self._excluded.clear()

    def _exit(self) -> None:
        """The last user is gone: whatever is in the tree, a reader must show nothing."""
        if running.run is not None:
            self.exited = running.run.steps - 1
        self.note(lambda: ())
        if self.pages:
            self.pages.gone()

    def _root_stored(self, tree: VmaTree[Vma], root: object) -> None:
        # One store publishes one version of the tree, so the state changes here. It also changes
        # where a section ends: VMAs that stay get other flags without a store to the tree.
        if tree is self.mm.mm_mt:
            self.note(self._state)
            for vma in self._excluded:
                if running.unseen(partial(self._row, vma)) is None:
                    self._excluded[vma] = None  # even if its object comes back as it was

    def _mapcount_stored(self, page: Page, mapcount: int) -> None:
        # Readers load this without the lock, so it changes here and not where the lock is released.
        if self.pages:
            self.pages.look()

    def _seq_stored(self, mm: MmStruct, seq: int) -> None:
        run = running.run
        if mm is not self.mm or run is None:
            return
        if seq & 1:
            self.sections += 1
            self._began = run.steps - 1
            self._excluded.clear()
        else:
            self.note(self._state)
            if self.pages:
                self.pages.look()
            self._look_for_overlocked(run)
            # From the last state before the section to its final one. With only two there is no
            # state in between that could lack what both have.
            before = bisect_left(self.steps, self._began) - 1
            section = self.states[before : bisect_left(self.steps, run.steps)]
            destination = self.process.destinations.get(sync.current(), NOWHERE)
            if len(section) > 2 and (torn := _torn(tuple(section), destination)):
                self.torn = torn

    def _write_locked(self, vma: Vma, seq: int) -> None:
        # Pairs with vma_start_write(): when this is stored, the readers of the VMA are out. A task
        # that holds two mmap_locks copies one address space into another: it forks.
        forks = lock_order.held_of(MMAP_LOCK) > 1
        if running.run is not None and not forks and vma not in self._excluded:
            self._excluded[vma] = running.unseen(partial(self._row, vma))

    def _look_for_overlocked(self, run: Run) -> None:
        """Note the VMAs that a section, now at its end, locked without need."""
        kept = [
            row
            for vma, row in self._excluded.items()
            if row is not None and row == running.unseen(partial(self._row, vma))
        ]
        if kept:
            vmas = ", ".join(sorted(f"{row[0]:08x}" for row in kept))
            self.overlocked.append((run.current, run.steps, vmas))

    def refused(self, began: int) -> None:
        """Excuse a failed call of the running task: VMAs that it locked may be unchanged.

        Args:
            began: The number of steps chosen before the call.
        """
        run = running.run
        assert run is not None
        self.overlocked = [
            (task, step, vmas)
            for task, step, vmas in self.overlocked
            if task != run.current or step <= began
        ]

    def _row(self, vma: Vma) -> Row | None:
        """Return the fields of a VMA that readers see; None if it is not in the tree."""
        start = getattr(vma, "vm_start", None)  # a new object has none
        slot = None if start is None else self.mm.mm_mt.find_slot(start)
        if slot is None or slot[2] is not vma:
            return None
        return (*slot[:2], vma.vm_flags, vma.vm_pgoff, vma.anon_name)

    def _state(self) -> State:
        return tuple(parse_line(show_map(vma)) for _, _, vma in self.mm.mm_mt)


@lru_cache(maxsize=4096)
def _torn(section: tuple[State, ...], destination: Range) -> str:
    """Return the ranges that are mapped in the first and last of some states, but not in all.

    Ranges in the destination of a move are left out.
    """
    ends = History((section[0], section[-1])).mapped_throughout(0, TASK_SIZE, 0, 1)
    history = History(section)
    kept = history.mapped_throughout(0, TASK_SIZE, 0, history.last)
    gone = [
        (start, end)
        for start, end in intersect(ends, (0, *borders(kept), TASK_SIZE))
        if not (destination[0] <= start and end <= destination[1])
    ]
    return ", ".join(f"{start:08x}-{end:08x}" for start, end in gone)
