"""Which release of Linux something is, and whether that has a change."""

import os
import re
from dataclasses import dataclass
from typing import NamedTuple, Self


class Release(NamedTuple):
    """A release of Linux, 6.18 or 6.18.44; compares as its numbers do.

    Attributes:
        update: Of the stable series; 0 for the release that the series begins with.
    """

    major: int
    minor: int
    update: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what a text as of uname -r begins with; zeros if it does not begin so."""
        numbers = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
        return cls(*map(int, numbers.groups("0"))) if numbers else cls(0, 0)

    def has(self, change: "Change") -> bool:
        """Say whether this release has a change: from the beginning, or by a stable update."""
        return self >= change.since or any(
            update <= self and update[:2] == self[:2] for update in change.carried_back
        )

    def __str__(self) -> str:
        return ".".join(map(str, self if self.update else self[:2]))


@dataclass(frozen=True, slots=True)
class Change:
    """What releases do from one on, and those before it do not.

    Attributes:
        since: The first release that does it.
        what: What it does, as a sentence without its full stop, and what was before.
        source: Where Linux does it, as file:function().
        carried_back: The updates of older series that brought it, or later ones known to have it.
    """

    since: Release
    what: str
    source: str
    carried_back: tuple[Release, ...] = ()


FIRST, LAST = Release(6, 1), Release(7, 3)
"""The first and the last series that the engine models, with all between them."""


def running_release() -> Release:
    """Return the release of the running kernel.

    Debian leaves updates out of the release of long series, and tells them in the version.
    """
    system = os.uname()
    release = Release.parse(system.release)
    told = re.search(r"Debian (\d+\.\d+\.\d+)", system.version)
    packaged = Release.parse(told[1]) if told else release
    return max(release, packaged) if packaged[:2] == release[:2] else release


def modelled(release: tuple[int, ...] | None) -> Release:
    """Return a release that the engine models; for None the running one, or the nearest to it.

    Raises:
        ValueError: The engine does not model it, or it is not two or three numbers.
    """
    asked = running_release() if release is None else _of(release)
    if asked >= FIRST and asked[:2] <= LAST[:2]:
        return asked
    if release is None:
        return min(max(asked, FIRST), LAST)
    raise ValueError(f"the engine models Linux {FIRST} to {LAST}, not {asked}")


def modelled_by_name(name: str) -> Release:
    """Return the release of a name as "6.18" or "6.18.44"; the last one if it is empty.

    Raises:
        ValueError: The engine does not model it, or it is no such name.
    """
    if not name:
        return LAST
    if not re.fullmatch(r"\d+(\.\d+){1,2}", name):
        raise ValueError(f"a release is 6.18 or 6.18.44, not {name}")
    return modelled(Release.parse(name))


def _of(numbers: tuple[int, ...]) -> Release:
    if len(numbers) not in (2, 3):
        raise ValueError(f"a release is (6, 18) or (6, 18, 44), not {numbers}")
    return Release(*numbers)
