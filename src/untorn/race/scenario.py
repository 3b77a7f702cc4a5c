"""Scenario: what a writer does to a region, over and over, while others read the map.

It is written once, against a process under test: the engine's Process, or a real child process.
Once it is set up in one, it is a scene.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from untorn.judge.history import History, Range
from untorn.maps.maps_file import MapsFile
from untorn.processes.process_under_test import ProcessUnderTest


@dataclass(frozen=True, slots=True)
class Site:
    """Where in its region a scenario takes place.

    Attributes:
        addr: Byte address of the VMA, or of the pages, that it changes.
        prot: The protection of that VMA between two rounds, where it matters.
    """

    addr: int
    prot: int = 0


class Scenario(Protocol):
    """A round is modify() and restore(), after which the region is usually as set_up() left it.

    Picklable: threads of this process or a child run it.
    """

    @property
    def name(self) -> str:
        """What reports call it."""

    def set_up(self, process: ProcessUnderTest) -> Range:
        """Map the region and return it; only the scenario ever changes anything in it."""

    def site(self, region: Range) -> Site:
        """Return where it takes place if no other site is chosen."""

    def modify(self, process: ProcessUnderTest, site: Site) -> None:
        """Change the map."""

    def restore(self, process: ProcessUnderTest, site: Site) -> None:
        """Take the change back."""

    def writers(self) -> "Sequence[Scenario]":
        """Return the scenarios that run at the same time: this one, then others, if any."""

    def solid(self, region: Range, site: Site) -> tuple[Range, ...]:
        """Return what is mapped at every instant of a round, in address order."""


class Record(Protocol):
    """The states of a map that its writers published, if they can be observed."""

    def version(self) -> int:
        """Return the number of the current state."""

    def since(self, first: int) -> History:
        """Return the states from number `first` to the current one; forget those before."""


class Scene(Protocol):
    """One process under test, and its writer, which waits until it is told to work.

    Only the task that opened the scene uses it.
    """

    @property
    def region(self) -> Range:
        """The range that the scenario's set_up() mapped in the process."""

    @property
    def record(self) -> Record | None:
        """The states of the map; None where they cannot be observed."""

    @property
    def rounds(self) -> int:
        """Rounds made since start(); the number may lag."""

    def open_file(self, file: str, reader: str) -> MapsFile:
        """Open a file of the process for one of the readers that the target offers."""

    def modify(self, site: Site) -> None:
        """Modify once; return when that is done. Raises OSError as the scenario does."""

    def restore(self, site: Site) -> None:
        """Restore once; return when that is done. Raises OSError as the scenario does."""

    def start(self, site: Site) -> None:
        """Start the rounds, one after the other, and the disturbance if it was asked for."""

    def stop(self) -> None:
        """Return when the last round is complete. Raises the error of a round that failed."""
