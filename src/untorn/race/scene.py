"""Scene: a scenario set up in a process, the writer that waits there, and the files to read."""

from typing import Protocol

from untorn.judge.history import History, Range
from untorn.maps.maps_file import MapsFile
from untorn.race.scenario import Site


class Record(Protocol):
    """The states of a map that its writers published, while they can be observed."""

    def version(self) -> int:
        """Return the number of the state that is current now."""

    def since(self, first: int) -> History:
        """Return the states from number `first` to the current one; forget those before."""


class Scene(Protocol):
    """One process under test and the one writer in it, which waits until it is told to work.

    Only the task that opened the scene uses it.

    """

    @property
    def region(self) -> Range:
        """What the scenario's set_up() mapped, in the process by now."""

    @property
    def record(self) -> Record | None:
        """The states of the map; None where they cannot be observed."""

    @property
    def rounds(self) -> int:
        """Rounds made by start() so far; may lag behind."""

    def open_file(self, file: str, reader: str) -> MapsFile:
        """Open a file of the process, to be read by one of the target's readers of it."""

    def modify(self, site: Site) -> None:
        """Modify once; return when that is done. Raises OSError as the scenario's."""

    def restore(self, site: Site) -> None:
        """Restore once; return when that is done. Raises OSError as the scenario's."""

    def start(self, site: Site) -> None:
        """Let rounds be made, one after the other; with disturbance, if it was asked for."""

    def stop(self) -> None:
        """Return when the last round is whole. Raises what a round failed with, if one did."""
