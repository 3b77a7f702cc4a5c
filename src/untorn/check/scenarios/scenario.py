"""Scenario: what is set up, and how much of it is explored."""

from collections.abc import Callable
from dataclasses import dataclass

from untorn.check.pages import Piece
from untorn.check.stage import Stage


@dataclass(frozen=True, slots=True)
class Until:
    """Let a task go on until it is about to make a step on a location.

    Attributes:
        task: Its name.
        location: As traces name it; None until the task ends or has to wait.
        skip: How many such steps it makes before.
        store: Only steps that change something count.
        ends: Without a location: it must end; to have to wait is not enough.
    """

    task: str
    location: str | None = None
    skip: int = 0
    store: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    Attributes:
        name: What it is called on the command line: group/name.
        about: What happens, in a line.
        build: Sets the stage.
        script: The one interleaving that it is about; None to explore all.
        shown: With a script: what the (first) reader must be shown.
        speculated: Some reader copies VMAs without a lock: see shared.py.
        deep: Too large to be explored exhaustively in passing.
    """

    name: str
    about: str
    build: Callable[[Stage], None]
    script: tuple[Until, ...] | None = None
    shown: tuple[Piece, ...] | None = None
    speculated: bool = False
    deep: bool = False
