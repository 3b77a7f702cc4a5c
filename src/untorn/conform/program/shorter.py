"""Reduce a mismatch that a program met to a short script that needs no program."""

from time import monotonic

from untorn.conform.operation import Operation
from untorn.conform.outcome import Failure
from untorn.conform.pair import Mismatch, Pair
from untorn.conform.program.outcome import ProgramMismatch
from untorn.conform.script_text import simpler
from untorn.processes.endings import ending_taken
from untorn.shrink import shrink

_LONGEST = 60.0
"""The longest time of the search, in seconds."""


def shortest_script(found: ProgramMismatch, origin: str) -> Failure | None:
    """Return the shortest script found that shows a mismatch; None if none does.

    Inside endings_held(), Ctrl-C or SIGTERM ends the search with what it has found.

    Raises:
        OutOfReachError: No child is possible to try scripts on.
    """
    end = monotonic() + _LONGEST
    with Pair.live() as pair:

        def fails(shorter: list[Operation]) -> bool:
            is_over = monotonic() > end or ending_taken()
            return not is_over and _replay(pair, shorter) is not None

        if _replay(pair, found.script) is None:
            return None
        operations = shrink(found.script, fails, simpler)
        mismatch = _replay(pair, operations)
        return None if mismatch is None else Failure(origin, 0, operations, mismatch)


def _replay(pair: Pair, operations: list[Operation]) -> Mismatch | None:
    """Make operations from a fresh start, and compare all outcomes at the end.

    A script may be long, and most of it will be removed.
    """
    if not operations:
        return None
    pair.renew()
    if all(map(pair.pass_by, operations[:-1])):
        pair.go_ahead(operations[-1])
    return pair.catch_up()[1]
