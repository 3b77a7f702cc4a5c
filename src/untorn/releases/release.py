"""A release of Linux, and whether it has a given change."""

import os
import re
from dataclasses import dataclass
from typing import NamedTuple, Self


class Release(NamedTuple):
    """A release of Linux such as 6.18 or 6.18.44. Releases compare by their numbers.

    Attributes:
        update: The number of the stable update; 0 for the first release of a series.
    """

    major: int
    minor: int
    update: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the release that a text such as that of uname -r begins with; 0.0 if none."""
        numbers = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
        return cls(*map(int, numbers.groups("0"))) if numbers else cls(0, 0)

    def has(self, change: "Change") -> bool:
        """Return whether this release has a change, from its series' start or by an update."""
        return self >= change.since or any(
            update <= self and update[:2] == self[:2] for update in change.carried_back
        )

    def __str__(self) -> str:
        return ".".join(map(str, self if self.update else self[:2]))


@dataclass(frozen=True, slots=True)
class Change:
    """A change in behaviour: some release has it first, and all later ones have it too.

    Attributes:
        since: The first release that has it.
        what: The new behaviour and the old, as a sentence without its full stop.
        source: Where Linux implements it, as file:function().
        carried_back: The updates of older series that got it, or later updates known to have it.
    """

    since: Release
    what: str
    source: str
    carried_back: tuple[Release, ...] = ()


FIRST, LAST = Release(6, 1), Release(7, 3)
"""The first and the last series that the engine models. It models all series between them."""


def running_release() -> Release:
    """Return the release of the running kernel.

    Debian leaves the update out of the release string of long-term series and gives it in the
    version string.
    """
    system = os.uname()
    release = Release.parse(system.release)
    told = re.search(r"Debian (\d+\.\d+\.\d+)", system.version)
    packaged = Release.parse(told[1]) if told else release
    return max(release, packaged) if packaged[:2] == release[:2] else release


def modelled(release: tuple[int, ...] | None) -> Release:
    """Check that the engine models release and return it; for None, take the running kernel's.

    If the running kernel is older or newer than what the engine models, return FIRST or LAST.

    Raises:
        ValueError: The engine does not model it, or it does not have two or three numbers.
    """
    asked = running_release() if release is None else _of(release)
    if asked >= FIRST and asked[:2] <= LAST[:2]:
        return asked
    if release is None:
        return min(max(asked, FIRST), LAST)
    raise ValueError(f"the engine models Linux {FIRST} to {LAST}, not {asked}")


def modelled_by_name(name: str) -> Release:
    """Return the release with a name such as "6.18" or "6.18.44"; the last one if it is empty.

    Raises:
        ValueError: The engine does not model it, or the name has another form.
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
