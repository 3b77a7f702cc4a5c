"""The run: script after script, until so many operations agreed or one did not."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from time import monotonic

from untorn.conform.crowd import takes_too_long
from untorn.conform.differences import known_differences, running_release
from untorn.conform.generate import Generator
from untorn.conform.mismatch import Mismatch
from untorn.conform.operation import Operation
from untorn.conform.pair import Pair
from untorn.conform.shrink import shrink
from untorn.conform.spelling import outcome_name, simpler
from untorn.processes.endings import ending_taken

_REPORT_EVERY = 100
"""Operations."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A mismatch, and the shortest script that was found to show it.

    Attributes:
        script: Number of the script of the seed that it was found with.
        operations: The shortest script; the mismatch is at its last operation.
    """

    script: int
    operations: list[Operation]
    mismatch: Mismatch


@dataclass(slots=True)
class Outcome:
    """What a run came to, complete or not.

    Attributes:
        counts: Operations that agreed, by their name and "ok" or the name of an errno.
        scripts: Begun.
        seconds: That all took, without shrinking.
        failure: What ended it early, if anything did.
        interrupted: By Ctrl-C or SIGTERM.
        left_out: How many operations were not made, by the reason.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    scripts: int = 0
    seconds: float = 0.0
    failure: Failure | None = None
    interrupted: bool = False
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def operations(self) -> int:
        """How many operations agreed."""
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

    Inside endings_held(), Ctrl-C or SIGTERM ends it after the operation that is under way, and
    the search for a shorter script after a replay.

    Args:
        pair: Both; see Pair.
        operations: How many at most; a mismatch ends it before.
        seed: Decides which.
        report: Is told from time to time how many were made.
    """
    outcome = Outcome()
    begin = monotonic()
    found = None
    while found is None and outcome.operations < operations and not outcome.interrupted:
        pair.renew()
        drawn = Generator(Random(f"{seed}/{outcome.scripts}"), pair)
        left = operations - outcome.operations
        found = _script(pair, islice(drawn, left), outcome, report)
    outcome.seconds = monotonic() - begin
    if found is not None:
        outcome.failure = _shortest(pair, outcome, *found)
    return outcome


def conform_script(pair: Pair, operations: Iterable[Operation]) -> Outcome:
    """Make these operations from a fresh start; as conform(), but nothing is shrunk."""
    outcome = Outcome()
    begin = monotonic()
    pair.renew()
    found = _script(pair, operations, outcome, lambda done: None)
    outcome.seconds = monotonic() - begin
    if found is not None:
        outcome.failure = Failure(0, *found)
    return outcome


def replay(pair: Pair, operations: Iterable[Operation]) -> Mismatch | None:
    """Make these operations from a fresh start; return the first mismatch."""
    pair.renew()
    for operation in operations:
        if mismatch := pair.step(operation) or pair.check(operation):
            return mismatch
    return None


def _script(
    pair: Pair, operations: Iterable[Operation], outcome: Outcome, report: Callable[[int], None]
) -> tuple[list[Operation], Mismatch] | None:
    """Make operations; return them up to a mismatch, with that, if they met one."""
    outcome.scripts += 1
    made: list[Operation] = []
    for operation in operations:
        if ending_taken():
            outcome.interrupted = True
            return None
        if _left_out(pair, operation, outcome):
            continue
        made.append(operation)
        if mismatch := pair.step(operation):
            return made, mismatch
        outcome.counts[operation.name, outcome_name(pair.last.result)] += 1
        if outcome.operations % _REPORT_EVERY == 0:
            report(outcome.operations)
    mismatch = pair.check(made[-1]) if made else None
    return None if mismatch is None else (made, mismatch)


def _left_out(pair: Pair, operation: Operation, outcome: Outcome) -> bool:
    """Say whether an operation is not to be made on this machine, and count it then."""
    mm = pair.engine.mm
    if operation.name == "crowd" and takes_too_long(mm):
        outcome.left_out["vm.max_map_count is too large to be met in a run"] += 1
        return True
    for difference in known_differences(running_release()):
        if difference.concerns(mm, operation):
            outcome.left_out[difference.reason] += 1
            return True
    return False


def _shortest(pair: Pair, outcome: Outcome, made: list[Operation], mismatch: Mismatch) -> Failure:
    """Shrink a script; the whole of it stands if a replay does not show the mismatch again."""

    def fails(shorter: list[Operation]) -> bool:
        outcome.interrupted = outcome.interrupted or ending_taken()
        return not outcome.interrupted and replay(pair, shorter) is not None

    operations = shrink(made, fails, simpler)
    again = replay(pair, operations) or mismatch
    return Failure(outcome.scripts - 1, operations[: again.number + 1], again)
