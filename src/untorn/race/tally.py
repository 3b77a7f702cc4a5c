"""What a test came to so far, and what a run of many."""

from collections import Counter
from dataclasses import dataclass, field

from untorn.judge.contract import Verdict
from untorn.judge.reading import Reading
from untorn.race.known_faults import KnownFault

REPORTS = 3
"""Kept of each test; what else is broken is only counted."""


@dataclass(slots=True)
class Tally:
    """What was read of a map, and what was wrong with it.

    Attributes:
        passes: Over the map, or to the boundary that is looked at, made by its owner.
        reads: Fills and queries in them.
        lines: That were judged.
        duplicates: Lines that overlap an earlier one; permitted.
        gaps: Ranges left out that were mapped; not permitted.
        rounds: Made by the writer meanwhile.
        broken: What was broken, by rule or otherwise, and how often.
        known: Which of it are known faults of the kernel, and how often.
        reports: Of the first few.
    """

    passes: int = 0
    reads: int = 0
    lines: int = 0
    duplicates: int = 0
    gaps: int = 0
    rounds: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    known: Counter[KnownFault] = field(default_factory=Counter)
    reports: list[list[str]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing is broken."""
        return not self.broken

    def count(self, reading: Reading, verdict: Verdict) -> None:
        """Add a judged reading; what it breaks is added by fail()."""
        self.reads += len(reading.fills)
        self.lines += verdict.lines
        self.duplicates += verdict.overlaps
        self.gaps += verdict.gaps

    def fail(self, what: str, report: list[str], known: KnownFault | None = None) -> None:
        """Add something broken, with the known fault that it is, if it is one."""
        self.broken[what] += 1
        if known is not None:
            self.known[known] += 1
        if len(self.reports) < REPORTS:
            self.reports.append(report)

    def add(self, other: "Tally") -> None:
        """Add what another test came to; its reports stay with it."""
        for name in ("passes", "reads", "lines", "duplicates", "gaps", "rounds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.broken += other.broken
        self.known += other.known

    def __str__(self) -> str:
        return (
            f"reads {self.reads}, lines {self.lines}, duplicates {self.duplicates} (allowed), "
            f"gaps {self.gaps} (not allowed), rounds {self.rounds}"
        )


@dataclass(slots=True)
class RaceResult:
    """What a run came to, complete or not.

    Attributes:
        tally: Of all tests together; without reports.
        passed, failed, skipped: Cases.
        reasons: Why cases were skipped.
        interrupted: By Ctrl-C or SIGTERM.
    """

    tally: Tally = field(default_factory=Tally)
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False

    def count(self, tally: Tally, skip: str) -> None:
        """Add what a case came to, and why it was skipped, if it was."""
        self.tally.add(tally)
        if not tally.good:
            self.failed += 1
        elif skip:
            self.skipped += 1
            self.reasons[skip] += 1
        else:
            self.passed += 1

    def add(self, other: "RaceResult") -> None:
        """Add what another run came to."""
        self.tally.add(other.tally)
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.reasons.update(other.reasons)
        self.interrupted |= other.interrupted
