"""What must hold in every schedule, whatever the order of its steps.

Some failures show while tasks run: a data race or a violated lock order (fields.py, lock_order.py),
or an assertion of the production code. The rest is checked when a schedule has ended, or when a
writer goes to sleep.
"""

from __future__ import annotations

import re
from typing import cast

from untorn.check.oracle.ends import BrokenError, check_counts, check_mm, check_written, end_of
from untorn.check.runtime.execution import Execution
from untorn.check.runtime.fields import WATCHED
from untorn.check.runtime.primitives import Task
from untorn.check.stage.page_history import counts_of, is_of, slices
from untorn.check.stage.pages import Piece, addr, piece
from untorn.check.stage.readers import Access, PagemapReader, Reader
from untorn.check.stage.stage import Stage
from untorn.judge.contract import judge
from untorn.judge.history import History
from untorn.judge.lines import parse_lines
from untorn.judge.reading import Fill, Reading
from untorn.judge.report import report
from untorn.locking.rcu import RCU
from untorn.maps.entry import MapsEntry
from untorn.maps.page import TASK_SIZE
from untorn.maps.procmap_query import QueriedVma
from untorn.mm.mm_types import MMAP_LOCK
from untorn.mm.tree.vma_tree import VmaTree
from untorn.mm.vma_lock import VMA_LOCK


def lines_of(kind: str, text: object) -> tuple[MapsEntry, ...]:
    """Return what a look showed.

    Raises:
        BrokenError: No VMA can ever have looked like that.
    """
    if kind.startswith("query"):
        return () if text is None else (cast(QueriedVma, text).entry,)
    try:
        return parse_lines(cast(bytes, text), kind)
    except ValueError as error:
        raise BrokenError(f"rule 1: what is shown {error}") from error


class Oracle:
    """Judges the runs of one stage."""

    def __init__(self, stage: Stage, shown: tuple[Piece, ...] | None = None) -> None:
        """Make an oracle.

        Args:
            stage: The stage whose runs it judges.
            shown: What the first reader must see, if that is known.
        """
        self._stage = stage
        self._shown = shown
        self._processes = (stage.process, *stage.others)
        self._counts = [(p.mm.mm_users.load(), p.mm.mm_count.load()) for p in self._processes]
        self._good_readings: set[object] = set()
        self._good_ends: set[object] = set()

    def check(self, run: Execution) -> None:
        """Judge a complete run.

        Raises:
            BrokenError: A task left something behind, or a reader was shown what
                it must not be shown, or fell back too often.
        """
        self._check_end(run)
        self._check_users(run)
        if self._stage.history.torn:
            raise BrokenError(f"a call exposed a transient hole at {self._stage.history.torn}")
        for _, _, at in self._stage.history.overlocked:
            raise BrokenError(f"a writer kept readers out of a VMA that it did not change: {at}")
        for reader in self._stage.readers:
            if reader.interrupted:
                continue
            self._check_progress(run, reader)
            if reader.looks and reader.judged:
                self._check_reading(run, reader)
        for pagemap in self._stage.pagemaps:
            self._check_pagemap(run, pagemap)
        for access in self._stage.accesses:
            self._check_access(run, access)
        if self._shown is not None:
            self._check_shown(self._shown)

    def _check_shown(self, wanted: tuple[Piece, ...]) -> None:
        reader = self._stage.readers[0]
        lines = (line for look in reader.looks for line in lines_of(reader.kind, look.text))
        shown = tuple(map(piece, lines))
        if shown != wanted:
            raise BrokenError(f"shown were {shown}, not {wanted}")

    def _check_end(self, run: Execution) -> None:
        """Check that no lock is held and that the maps are consistent; each kind of end once."""
        for task in run.tasks:
            if task.held:
                raise BrokenError(f"{task.name} ended holding {task.holds()}")
        # The schedules of a scenario end in few different ways, and comparing an end with the
        # others costs much less than checking it.
        end = tuple(end_of(process) for process in self._processes)
        if end not in self._good_ends:
            for process, counts in zip(self._processes, self._counts, strict=True):
                check_mm(process.mm, self._stage.pinned)
                check_counts(process, *counts)
            check_written(self._stage.process.mm, self._stage.written)
            self._good_ends.add(end)

    def _check_users(self, run: Execution) -> None:
        """Check that no reader accesses the tree after the last user of the mm has gone."""
        history = self._stage.history
        if history.exited is None or not run.tracks:
            return
        # Such an access finds an empty tree and does no harm here. In the kernel the nodes of the
        # tree would be gone.
        root = WATCHED[VmaTree, "root"].cells[history.mm.mm_mt]
        last_user = run.trace.tasks[history.exited]  # tears the mm down
        readers = {reader.task for reader in self._stage.every_reader} - {last_user}
        for step in range(history.exited + 1, len(run.trace.tasks)):
            if run.trace.locations[step] is root and run.trace.tasks[step] in readers:
                raise BrokenError("a reader looks into an mm that has no user")

    def _check_reading(self, run: Execution, reader: Reader) -> None:
        """Judge what a reader saw by the latest and by the earliest states of its window."""
        # It must be right in every order of steps that this schedule stands for. These two have the
        # narrowest windows: what holds in both holds in all.
        self._judge(run, reader, early=False)
        if run.tracks:
            self._judge(run, reader, early=True)

    def _judge(self, run: Execution, reader: Reader, *, early: bool) -> None:
        history = self._stage.history
        windows = tuple(history.window(run, look, early=early) for look in reader.looks)
        texts = tuple(look.text for look in reader.looks)
        case = tuple(history.states), windows, texts, reader.kind
        if case in self._good_readings:
            return
        if reader.kind == "smaps":
            _check_sizes(b"".join(cast(tuple[bytes, ...], texts)))
        # The judge does not check this: a walk may show a VMA that grew over its position, but a
        # query must not return one that ends below its address.
        if reader.kind == "query-one" and (gone := _before(reader, texts[0])):
            raise BrokenError(f"a query of {reader.start:08x} was answered with {gone}")
        fills = [
            Fill(lines_of(reader.kind, text), *window)
            for text, window in zip(texts, windows, strict=True)
        ]
        reading, evidence = _reading(reader.kind, fills), History(history.states)
        violations = judge(evidence, reading, (reader.start, TASK_SIZE)).violations
        if violations:
            raise BrokenError("\n".join(report(violations[0], reading, evidence)))
        self._good_readings.add(case)

    def _check_access(self, run: Execution, access: Access) -> None:
        """Check that an access was allowed or refused according to some state of its window."""
        history = self._stage.history
        assert access.look is not None
        for early in False, True:
            first, last = history.window(run, access.look, early=early)
            states = history.states[first : last + 1]
            if not any(access.is_allowed_in(state) == access.look.text for state in states):
                raise BrokenError(f"a {access} was {'allowed' if access.look.text else 'refused'}")

    def _check_pagemap(self, run: Execution, reader: PagemapReader) -> None:
        """Check that each slice, the entries below one PMD, matches its window."""
        pages = self._stage.history.pages
        assert pages is not None
        for read, look in zip(reader.reads, reader.looks, strict=True):
            counts = counts_of(cast(bytes, look.text))
            for early in False, True:
                first, last = pages.window(run, look, early=early)
                for start, end in slices(*read):
                    found = counts and counts[start - read[0] : end - read[0]]
                    states = [pages.of(start, end, version) for version in range(first, last + 1)]
                    if not is_of(found, states):
                        raise BrokenError(
                            f"pages of {addr(start):08x}-{addr(end):08x} are shown as mapped"
                            f" {found} times; in their window they were {states}"
                        )

    def _check_progress(self, run: Execution, reader: Reader) -> None:
        """Check that a reader asked for mmap_lock at most once per write section.

        A fallback returns after the writer that caused it, so the next one needs another section.
        The same is true of the wait of a reader that copies VMAs without a lock. A killed reader is
        an exception.
        """
        task, sections = run.tasks[reader.task], self._stage.history.sections
        if task.mmap_locks > sections and not (reader.keeps_mmap_lock or task.killed):
            raise BrokenError(
                f"{task.mmap_locks} fallbacks of {task.name}, {sections} write sections"
            )


def check_sleeper(run: Execution, stage: Stage, sleeper: Task) -> None:
    """Check that a writer about to sleep waits only for a reader of the VMA that it changes.

    Raises:
        BrokenError: A reader holds a VMA lock besides that of the VMA it is at, or mmap_lock
            outside of its fallback.
    """
    for reader in stage.readers:
        task = run.tasks[reader.task]
        if task is sleeper:
            continue
        # A VMA whose lock it waits for counts as well: it must release the others before it asks.
        vmas = [lock for lock_class, lock in task.held if lock_class is VMA_LOCK]
        if len(vmas) > 1:
            raise BrokenError(
                f"{sleeper.name} waits while {task.name} holds {len(vmas)} VMA locks: it can be"
                " blocked by a reader of another VMA"
            )
        # A walk is under RCU from beginning to end, except in the fallback and in page walks, which
        # may sleep. So holding both means that the walk continued with mmap_lock held.
        if not reader.keeps_mmap_lock and {MMAP_LOCK, RCU} <= {held for held, _ in task.held}:
            raise BrokenError(
                f"{sleeper.name} waits while {task.name} holds mmap_lock outside of its fallback"
            )


def _check_sizes(text: bytes) -> None:
    """Check that no more of a VMA is resident than it has, in a file that shows both."""
    sizes = [int(kb) for kb in re.findall(rb"^Size: *(\d+)", text, re.MULTILINE)]
    resident = [int(kb) for kb in re.findall(rb"^Rss: *(\d+)", text, re.MULTILINE)]
    for size, rss in zip(sizes, resident, strict=True):
        if rss > size:
            raise BrokenError(f"{rss} kB are resident of a VMA of {size} kB")


def _before(reader: Reader, answer: object) -> MapsEntry | None:
    """Return the answer to a query if it ends below the queried address."""
    lines = [line for line in lines_of(reader.kind, answer) if line.end <= reader.start]
    return lines[0] if lines else None


def _reading(kind: str, fills: list[Fill]) -> Reading:
    if kind == "query-one":
        return Reading(fills, None if fills[0].lines else 0)
    return Reading.of_queries(fills) if kind == "query" else Reading.of_text(fills)
