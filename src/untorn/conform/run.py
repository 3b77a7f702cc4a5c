"""The run: script after script, until so many operations agreed or one did not."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from time import monotonic

from untorn.conform.differences import Difference, known_differences
from untorn.conform.generate import Generator
from untorn.conform.operations import Operation
from untorn.conform.pair import Mismatch, Pair
from untorn.conform.shrink import shrink
from untorn.conform.spelling import outcome_name

_REPORT_EVERY = 100
"""Operations."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A mismatch, and the shortest script that was found to show it.

    Attributes:
        script: Number of the script of the seed that it was found with.
        operations: The shortest script.
        mismatch: At its last operation.
    """

    script: int
    operations: list[Operation]
    mismatch: Mismatch


@dataclass(slots=True)
class Outcome:
    """What a run came to, complete or not.

    Attributes:
        counts: Operations, by their name and "ok" or the name of an errno.
        scripts: Begun.
        seconds: That all took, without shrinking.
        failure: What ended it early, if anything did.
        interrupted: By Ctrl-C.
        differences: Operations that were left out, by the known difference that is why.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    scripts: int = 0
    seconds: float = 0.0
    failure: Failure | None = None
    interrupted: bool = False
    differences: Counter[Difference] = field(default_factory=Counter)

    @property
    def operations(self) -> int:
        """How many operations were made."""
        return self.counts.total()

    @property
    def succeeded(self) -> float:
        """Which share of them succeeded."""
        good = sum(count for (_, result), count in self.counts.items() if result == "ok")
        return good / self.operations if self.operations else 0.0


def conform(
    pair: Pair, operations: int, seed: str, report: Callable[[int], None] = lambda done: None
) -> Outcome:
    """Make so many operations on both processes of a pair, and compare after each.

    Args:
        pair: Both; see Pair.
        operations: How many at most; a mismatch or Ctrl-C ends it before.
        seed: Decides which.
        report: Is told from time to time how many were made.

    Raises:
        InvariantError: The engine contradicts itself after a script.
    """
    outcome = Outcome()
    begin = monotonic()
    try:
        found = _scripts(pair, operations, seed, outcome, report)
        outcome.seconds = monotonic() - begin
        if found is not None:
            outcome.failure = _shortest(pair, outcome.scripts - 1, found)
    except KeyboardInterrupt:
        outcome.interrupted = True
        outcome.seconds = outcome.seconds or monotonic() - begin
    return outcome


def replay(pair: Pair, operations: Iterable[Operation]) -> Mismatch | None:
    """Make these operations from a fresh start; return the first mismatch."""
    pair.renew()
    for operation in operations:
        if mismatch := pair.step(operation):
            return mismatch
    return None


def _scripts(
    pair: Pair, operations: int, seed: str, outcome: Outcome, report: Callable[[int], None]
) -> list[Operation] | None:
    """Run scripts; return the operations of the one that met a mismatch, up to it."""
    known = known_differences()
    while outcome.operations < operations:
        pair.renew()
        random = Random(f"{seed}/{outcome.scripts}")
        outcome.scripts += 1
        made: list[Operation] = []
        generator = Generator(random, pair.engine.mm, pair.fds, pair.hard_limits)
        for operation in _allowed(generator, known, outcome.differences):
            made.append(operation)
            mismatch = pair.step(operation)
            if mismatch is not None:
                return made
            outcome.counts[operation.name, outcome_name(pair.result)] += 1
            if outcome.operations % _REPORT_EVERY == 0:
                report(outcome.operations)
            if outcome.operations >= operations:
                break
        pair.check()
    return None


def _allowed(
    drawn: Iterable[Operation], known: list[Difference], left_out: Counter[Difference]
) -> Iterator[Operation]:
    """Leave out operations that are known to differ on this kernel."""
    for operation in drawn:
        difference = next((each for each in known if each.concerns(operation)), None)
        if difference is None:
            yield operation
        else:
            left_out[difference] += 1


def _shortest(pair: Pair, script: int, made: list[Operation]) -> Failure | None:
    operations = shrink(made, lambda shorter: replay(pair, shorter) is not None)
    mismatch = replay(pair, operations)
    return None if mismatch is None else Failure(script, operations, mismatch)
