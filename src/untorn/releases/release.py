"""Which release of Linux something is, and whether that has a change."""

import os
import re
from dataclasses import dataclass
from typing import NamedTuple, Self


class Release(NamedTuple):
    """The first two numbers of a release of Linux; compares as they do."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what a text as of uname -r begins with; zeros if it does not begin so."""
        numbers = re.match(r"(\d+)\.(\d+)", text)
        return cls(int(numbers[1]), int(numbers[2])) if numbers else cls(0, 0)

    def has(self, change: "Change") -> bool:
        """Say whether this release has a change."""
        return self >= change.since or self in change.carried_back

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True)
class Change:
    """What releases do from one on, and those before it do not.

    Attributes:
        since: The first release that does it.
        what: What it does, as a sentence without its full stop, and what was before.
        source: Where Linux does it, as file:function().
        carried_back: Older releases whose stable updates brought it. The last update counts.
    """

    since: Release
    what: str
    source: str
    carried_back: tuple[Release, ...] = ()


FIRST, LAST = Release(6, 1), Release(7, 3)
"""The releases that the engine models, with all between them."""


def running_release() -> Release:
    """Return the release of the running kernel."""
    return Release.parse(os.uname().release)


def modelled(release: tuple[int, int] | None) -> Release:
    """Return a release that the engine models; for None the running one, or the nearest to it.

    Raises:
        ValueError: The engine does not model it.
    """
    if release is None:
        return min(max(running_release(), FIRST), LAST)
    asked = Release(*release)
    if not FIRST <= asked <= LAST:
        raise ValueError(f"the engine models Linux {FIRST} to {LAST}, not {asked}")
    return asked
