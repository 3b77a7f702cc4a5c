"""Results: those of one test so far, and those of a whole run."""

from collections import Counter
from dataclasses import dataclass, field

from untorn.judge.contract import Verdict
from untorn.judge.reading import Reading
from untorn.race.known_faults import KnownFault

REPORTS = 3
"""Reports kept per test; further breaks are only counted."""


@dataclass(slots=True)
class Tally:
    """What was read of a map, and what was wrong.

    Attributes:
        passes: Passes over the map, or to the boundary; counted by the owner.
        reads: Fills and queries in these passes.
        lines: Lines that were judged.
        duplicates: Lines that overlap an earlier one; permitted.
        gaps: Ranges left out that were mapped; not permitted.
        rounds: Rounds that the writer made meanwhile.
        broken: How often each rule, or something else, was broken.
        known: How often each known fault of the kernel was met; part of broken.
        reports: Reports of the first few breaks.
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
        """Whether nothing was broken."""
        return not self.broken

    def count(self, reading: Reading, verdict: Verdict) -> None:
        """Add a judged reading; fail() adds what it breaks."""
        self.reads += len(reading.fills)
        self.lines += verdict.lines
        self.duplicates += verdict.overlaps
        self.gaps += verdict.gaps

    def fail(self, what: str, report: list[str], known: KnownFault | None = None) -> None:
        """Add a break, with the known fault that explains it, if one does."""
        self.broken[what] += 1
        if known is not None:
            self.known[known] += 1
        if len(self.reports) < REPORTS:
            self.reports.append(report)

    def add(self, other: "Tally") -> None:
        """Add the results of another test, without its reports."""
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
    """The results of a run, complete or not.

    Attributes:
        tally: The sum of all tests, without reports.
        passed, failed, skipped: Numbers of cases.
        reasons: Why cases were skipped.
        interrupted: Whether Ctrl-C or SIGTERM ended it.
    """

    tally: Tally = field(default_factory=Tally)
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False

    def count(self, tally: Tally, skip: str) -> None:
        """Add the results of a case, and why it was skipped, if it was."""
        self.tally.add(tally)
        if not tally.good:
            self.failed += 1
        elif skip:
            self.skipped += 1
            self.reasons[skip] += 1
        else:
            self.passed += 1

    def add(self, other: "RaceResult") -> None:
        """Add the results of another run."""
        self.tally.add(other.tally)
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.reasons.update(other.reasons)
        self.interrupted |= other.interrupted
