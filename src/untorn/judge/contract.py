"""Judge a reading by what is known of the map: which rule of the contract it breaks, and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from untorn.judge.history import Range
from untorn.judge.reading import Fill, Reading
from untorn.maps.entry import MapsEntry
from untorn.maps.page import TASK_SIZE


class Rule(Enum):
    """A rule of the contract; the value says how it is broken."""

    LINE = "rule 1: a line is no VMA of any state of its window"
    GAP = "rule 2: a range is left out that is mapped in every state of its window"
    ENDS = "rule 3: a line does not end above the line before it"
    OVERLAP = "rule 3: a line overlaps an earlier one though nothing changed since that was shown"


class Evidence(Protocol):
    """What is known of the states of a map: all states (History), or less (see views.py)."""

    def first_shown(self, line: MapsEntry, first: int, last: int) -> int | None:
        """Return the first version in first to last whose state may have the line, if any."""

    def mapped_throughout(self, start: int, end: int, first: int, last: int) -> Sequence[Range]:
        """Return what of a range is known to be mapped in every state from first to last."""

    def describe(self, around: Range, first: int, last: int) -> list[str]:
        """Return lines that say what stood in a range in versions first to last."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule broken at one place.

    Attributes:
        rule: The rule.
        line: The line at which it is broken; None after the last.
        around: The range in question, in bytes: the range of the line, or the missing one.
        before: The earlier line that it conflicts with, if any.
        fill: Number of the fill that showed the line, or that began to find nothing.
        index: Index of the line in that fill, from 0; after the last line, how many lines it has.
        first, last: Versions of the window.
    """

    rule: Rule
    line: MapsEntry | None
    around: Range
    before: MapsEntry | None
    fill: int
    index: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a reading.

    Attributes:
        violations: In the order of the lines; empty if the contract holds.
        lines: How many were judged.
        overlaps: How many of them started below the end of an earlier one; permitted as such.
    """

    violations: tuple[Violation, ...]
    lines: int
    overlaps: int

    @property
    def gaps(self) -> int:
        """How many ranges are left out that were mapped the whole time."""
        return sum(each.rule is Rule.GAP for each in self.violations)


def judge(evidence: Evidence, reading: Reading, within: Range = (0, TASK_SIZE)) -> Verdict:
    """Judge a reading; outside `within`, check only that line ends strictly grow.

    A line costs O(log n) of how often it came and went. A gap also costs the states of its window.
    """
    return _Case(evidence, within).judge(reading)


class _Case:
    """One reading being judged, line by line.

    Attributes:
        fill, number: The current fill, and its number; at the end, the last ones.
        before: The last line that ended above all lines before it: the next line is expected there.
        shown: The lines so far, each with the first version of its window that had it: a line that
            overlaps it must stand in a later version. Ends grow, so the lines that another one
            overlaps are the last ones.
    """

    __slots__ = (
        "before",
        "evidence",
        "fill",
        "lines",
        "number",
        "overlaps",
        "shown",
        "violations",
        "within",
    )

    def __init__(self, evidence: Evidence, within: Range) -> None:
        self.evidence = evidence
        self.within = within
        self.before: MapsEntry | None = None
        self.lines = self.overlaps = 0
        self.shown: list[tuple[MapsEntry, int]] = []
        self.violations: list[Violation] = []

    def judge(self, reading: Reading) -> Verdict:
        for self.number, self.fill in enumerate(reading.fills):
            for index, line in enumerate(self.fill.lines):
                self._judge_line(index, line)
        if reading.ended_from is not None:
            self.number = reading.ended_from
            begun = reading.fills[self.number]
            self.fill = Fill(begun.lines, begun.first, self.fill.last)
            self._check_gap(len(begun.lines), None, self.within[1])
        return Verdict(tuple(self.violations), self.lines, self.overlaps)

    def _judge_line(self, index: int, line: MapsEntry) -> None:
        start, end = line[:2]
        end_before = self.before.end if self.before else 0
        if end <= end_before:
            self._break(Rule.ENDS, index, line, line[:2], self.before)
            return
        if start > end_before:
            self._check_gap(index, line, start)
        if end > self.within[0] and start < self.within[1]:
            self.lines += 1
            version = self.evidence.first_shown(line, self.fill.first, self.fill.last)
            if version is None:
                self._break(Rule.LINE, index, line, line[:2])
                version = self.fill.first
            if start < end_before:
                self._check_overlap(index, line)
            self.shown.append((line, version))
        self.before = line

    def _check_gap(self, index: int, line: MapsEntry | None, end: int) -> None:
        """Check the range that was passed over on the way to `end`."""
        start = max(self.before.end if self.before else 0, self.within[0])
        end = min(end, self.within[1])
        if start < end:
            window = self.fill.first, self.fill.last
            for missing in self.evidence.mapped_throughout(start, end, *window):
                self._break(Rule.GAP, index, line, missing, self.before)

    def _check_overlap(self, index: int, line: MapsEntry) -> None:
        self.overlaps += 1
        for earlier, version in reversed(self.shown):
            if earlier.end <= line.start:
                break
            since = max(self.fill.first, version + 1)
            if self.evidence.first_shown(line, since, self.fill.last) is None:
                self._break(Rule.OVERLAP, index, line, line[:2], earlier)
                break

    def _break(
        self,
        rule: Rule,
        index: int,
        line: MapsEntry | None,
        around: Range,
        before: MapsEntry | None = None,
    ) -> None:
        where = self.number, index, self.fill.first, self.fill.last
        self.violations.append(Violation(rule, line, around, before, *where))
