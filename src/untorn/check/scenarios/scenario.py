"""Scenario: a stage, and how much of it is explored."""

from collections.abc import Callable
from dataclasses import dataclass

from untorn.check.stage.pages import Piece
from untorn.check.stage.stage import Stage
from untorn.check.strategies.script import Until

Build = Callable[[Stage], None]
"""Sets a stage."""
Layout = tuple[tuple[int, int, int], ...]
"""First page, end, protection of each VMA."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    Attributes:
        name: Its name on the command line: group/name.
        about: What happens, in a line.
        build: Sets the stage.
        script: The one interleaving to run; None to explore all.
        shown: With a script: what the (first) reader must see.
        speculated: Whether a reader copies VMAs without a lock: see shared.py.
        deep: Too large to be explored exhaustively in passing.
    """

    name: str
    about: str
    build: Build
    script: tuple[Until, ...] | None = None
    shown: tuple[Piece, ...] | None = None
    speculated: bool = False
    deep: bool = False


def lay_out(stage: Stage, layout: Layout) -> None:
    """Map the VMAs of a layout."""
    for first, end, protection in layout:
        stage.process.map(first, end, protection)
