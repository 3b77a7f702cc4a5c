"""Known faults of Linux: the rule that a kernel breaks, since when, and why.

A known fault still counts as a fault. It is named so that a new one is not mistaken for it.
"""

from typing import NamedTuple

from untorn.judge.contract import Rule, Violation
from untorn.releases.changes import MAPS_PER_VMA
from untorn.releases.release import Change, Release


class KnownFault(NamedTuple):
    """A rule that all releases since one break."""

    name: str
    file: str
    """The file whose readers meet the fault."""
    rule: Rule
    after_a_line: bool
    """Whether it occurs only after a line of the same fill."""
    since: Change
    reason: str
    docs: str

    def explains(self, violation: Violation, file: str, release: Release) -> bool:
        """Return whether a violation in a file of a kernel of that release can be this fault."""
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
        reason="an iterator that a writer overtook continues after a range that was never shown",
        docs="docs/false-gap.md",
    ),
)


def find_known_fault(violation: Violation, file: str, release: Release) -> KnownFault | None:
    """Return the fault of that release that a violation can be, None if it is a new one."""
    for fault in KNOWN_FAULTS:
        if fault.explains(violation, file, release):
            return fault
    return None
