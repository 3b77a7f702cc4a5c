"""Faults of Linux that are known: a rule that a kernel breaks, since when, and why.

Such a fault is a fault, and counted; it is told apart so that a new one is not taken for it.
"""

from typing import NamedTuple

from untorn.judge.contract import Rule, Violation
from untorn.releases.changes import MAPS_PER_VMA
from untorn.releases.release import Change, Release


class KnownFault(NamedTuple):
    """A rule that all releases since one break."""

    name: str
    file: str
    """Whose readers meet it."""
    rule: Rule
    after_a_line: bool
    """It is met only after a line of the same fill."""
    since: Change
    reason: str
    docs: str

    def explains(self, violation: Violation, file: str, release: Release) -> bool:
        """Tell whether a violation in a file of a kernel of that release can be this fault."""
        return (
            release.has(self.since)
            and file == self.file
            and violation.rule is self.rule
            and violation.index >= self.after_a_line
        )


KNOWN_FAULTS = (
    KnownFault(
        name="false gap",
        file="maps",
        rule=Rule.GAP,
        after_a_line=True,
        since=MAPS_PER_VMA,
        reason="an iterator that a writer overtook goes on after what was never shown",
        docs="docs/false-gap.md",
    ),
)


def find_known_fault(violation: Violation, file: str, release: Release) -> KnownFault | None:
    """Return the fault of a kernel's release that a violation can be, None if it is a new one."""
    for fault in KNOWN_FAULTS:
        if fault.explains(violation, file, release):
            return fault
    return None
