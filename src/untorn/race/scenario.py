"""Scenario: what a writer does to a region, over and over, while others read the map.

Written once, against a process under test: the engine's Process, or a real child process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from untorn.judge.history import Range
from untorn.processes.process_under_test import ProcessUnderTest


@dataclass(frozen=True, slots=True)
class Site:
    """Where in its region a scenario takes place.

    Attributes:
        addr: Byte address of the VMA, or of the pages, that it changes.
        prot: The protection that the VMA there has between two rounds, where it matters.
    """

    addr: int
    prot: int = 0


class Scenario(Protocol):
    """A round is modify() and restore(), after which the region is as set_up() left it, mostly.

    Picklable: it is run by threads of this process, or by a child.
    """

    @property
    def name(self) -> str:
        """What reports call it."""

    def set_up(self, process: ProcessUnderTest) -> Range:
        """Map the region and return it; nobody but the scenario ever changes anything in it."""

    def site(self, region: Range) -> Site:
        """Return where it takes place if no other site is chosen."""

    def modify(self, process: ProcessUnderTest, site: Site) -> None:
        """Change the map."""

    def restore(self, process: ProcessUnderTest, site: Site) -> None:
        """Take the change back."""

    def writers(self) -> "Sequence[Scenario]":
        """Return the scenarios that make rounds at the same time: itself, then others, if any."""

    def solid(self, region: Range, site: Site) -> tuple[Range, ...]:
        """Return what is mapped at every instant of a round, in address order."""
