"""The run: one script after another, until enough operations agreed or one did not."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from time import monotonic

from untorn.conform.generate.script import ScriptGenerator
from untorn.conform.operation import Operation, crowd_takes_too_long
from untorn.conform.pair import Mismatch, Pair
from untorn.conform.running_kernel import known_differences
from untorn.conform.script_text import result_name, simpler
from untorn.processes.endings import ending_taken
from untorn.releases.release import running_release
from untorn.shrink import shrink

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
class ConformRun:
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
) -> ConformRun:
    """Make operations on both processes of a pair, and compare after each.

    Inside endings_held(), Ctrl-C or SIGTERM ends it after the operation that is under way, and
    the search for a shorter script after a replay.

    Args:
        pair: Both; see Pair.
        operations: How many at most; a mismatch ends it before.
        seed: Decides which.
        report: Called now and then with the number of operations made so far.
    """
    run = ConformRun()
    begin = monotonic()
    found = None
    while found is None and run.operations < operations and not run.interrupted:
        pair.renew()
        drawn = ScriptGenerator(Random(f"{seed}/{run.scripts}"), pair)
        left = operations - run.operations
        found = _script(pair, islice(drawn, left), run, report)
    run.seconds = monotonic() - begin
    if found is not None:
        run.failure = _shortest(pair, run, *found)
    return run


def conform_script(pair: Pair, operations: Iterable[Operation]) -> ConformRun:
    """Make these operations from a fresh start; as conform(), but nothing is shrunk."""
    run = ConformRun()
    begin = monotonic()
    pair.renew()
    found = _script(pair, operations, run, lambda done: None)
    run.seconds = monotonic() - begin
    if found is not None:
        run.failure = Failure(0, *found)
    return run


def replay(pair: Pair, operations: Iterable[Operation]) -> Mismatch | None:
    """Make these operations from a fresh start; return the first mismatch."""
    pair.renew()
    for operation in operations:
        if mismatch := pair.step(operation) or pair.check(operation):
            return mismatch
    return None


def _script(
    pair: Pair, operations: Iterable[Operation], run: ConformRun, report: Callable[[int], None]
) -> tuple[list[Operation], Mismatch] | None:
    """Make operations; return them up to a mismatch, with that, if they met one."""
    run.scripts += 1
    made: list[Operation] = []
    for operation in operations:
        if ending_taken():
            run.interrupted = True
            return None
        if _left_out(pair, operation, run):
            continue
        made.append(operation)
        if mismatch := pair.step(operation):
            return made, mismatch
        run.counts[operation.name, result_name(pair.last.result)] += 1
        if run.operations % _REPORT_EVERY == 0:
            report(run.operations)
    mismatch = pair.check(made[-1]) if made else None
    return None if mismatch is None else (made, mismatch)


def _left_out(pair: Pair, operation: Operation, run: ConformRun) -> bool:
    """Say whether an operation is not to be made on this machine, and count it then."""
    mm = pair.engine.mm
    if operation.name == "crowd" and crowd_takes_too_long(mm):
        run.left_out["vm.max_map_count is too large to be met in a run"] += 1
        return True
    for difference in known_differences(running_release()):
        if difference.concerns(mm, operation):
            run.left_out[difference.reason] += 1
            return True
    return False


def _shortest(pair: Pair, run: ConformRun, made: list[Operation], mismatch: Mismatch) -> Failure:
    """Shrink a script; the whole of it stands if a replay does not show the mismatch again."""

    def fails(shorter: list[Operation]) -> bool:
        run.interrupted = run.interrupted or ending_taken()
        return not run.interrupted and replay(pair, shorter) is not None

    operations = shrink(made, fails, simpler)
    again = replay(pair, operations) or mismatch
    return Failure(run.scripts - 1, operations[: again.number + 1], again)
