"""RaceTarget: a process under test with a writer in it, and the ways to read its map."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Protocol, cast

from untorn.judge.history import History, Range
from untorn.maps.maps_file import MapsFile
from untorn.race.scenario import Place, Scenario


class Record(Protocol):
    """The states of a map that its writers published, while they can be observed."""

    def version(self) -> int:
        """Return the number of the state that is current now."""

    def since(self, first: int) -> History:
        """Return the states from number `first` to the current one; forget those before."""


class Run(Protocol):
    """One process under test and the one writer in it, which waits until it is told to work.

    Only the task that opened the run uses it.

    Attributes:
        region: What the scenario's set_up() mapped, in the process by now.
        record: The states of the map; None where they cannot be observed.
        rounds: Rounds made by start() so far.
    """

    region: Range
    record: Record | None

    @property
    def rounds(self) -> int:
        """Rounds made by start() so far; may lag behind."""

    def open_file(self, file: str, reader: str) -> MapsFile:
        """Open a file of the process, to be read by one of the target's readers of it."""

    def modify(self, place: Place) -> None:
        """Modify once; return when that is done. Raises OSError as the scenario's."""

    def restore(self, place: Place) -> None:
        """Restore once; return when that is done. Raises OSError as the scenario's."""

    def start(self, place: Place) -> None:
        """Let rounds be made, one after the other; with disturbance, if it was asked for."""

    def stop(self) -> None:
        """Return when the last round is whole. Raises what a round failed with, if one did."""


class RaceTarget(Protocol):
    """Where race tests run: the engine, or the running kernel."""

    @property
    def name(self) -> str:
        """What the command line calls it."""

    @property
    def readers(self) -> Mapping[str, tuple[str, ...]]:
        """By file (maps, smaps), the ways to read it; the usual one first."""

    @property
    def release(self) -> tuple[int, int] | None:
        """First two numbers of the release of the kernel there; None if it is no kernel."""

    @property
    def disturbance(self) -> str:
        """What `disturb` does to the reader here, in half a line.

        Raises:
            OutOfReachError: There is no way to do it on this machine.
        """

    def open(self, scenario: Scenario, *, disturb: bool = False) -> AbstractContextManager[Run]:
        """Make a process with the scenario set up; leaving ends writer and process.

        Raises:
            OutOfReachError: This machine, kernel or user cannot do it.
        """


_PLACES = {"engine": "untorn.race.engine:EngineTarget", "live": "untorn.race.live:LiveTarget"}


def find_target(name: str) -> RaceTarget:
    """Return the target of that name; only then is its module imported.

    Raises:
        LookupError: There is none; the message names those there are.
    """
    if name not in _PLACES:
        raise LookupError(f"no target {name}; targets: {', '.join(_PLACES)}")
    module, _, factory = _PLACES[name].partition(":")
    return cast(RaceTarget, getattr(import_module(module), factory)())
