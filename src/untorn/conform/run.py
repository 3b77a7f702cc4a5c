"""The run: one script after another, until enough operations agreed or one did not."""

from collections.abc import Callable, Iterable
from itertools import islice
from random import Random
from time import monotonic

from untorn.conform import unsealed
from untorn.conform.case import Case
from untorn.conform.generate.script import ScriptGenerator
from untorn.conform.huge_pages import LOSES_RESERVATION, loses_reservation
from untorn.conform.operation import Operation, crowd_takes_too_long
from untorn.conform.outcome import ConformRun, Failure
from untorn.conform.pair import Expectation, Mismatch, Pair, anything
from untorn.conform.running_kernel import known_differences
from untorn.conform.script_text import result_name, simpler
from untorn.conform.unsealed import takes_the_program_away
from untorn.processes.endings import ending_taken
from untorn.releases.release import running_release
from untorn.shrink import shrink

_REPORT_EVERY = 100
"""Operations."""


Report = Callable[[ConformRun], None]
"""Is told now and then what a run came to so far."""


def ignore(run: ConformRun) -> None:
    """Take no notice of it."""


def conform(pair: Pair, operations: int, seed: str, report: Report = ignore) -> ConformRun:
    """Make operations on both processes of a pair, and compare after each.

    Inside endings_held(), Ctrl-C or SIGTERM ends it after the operation that is under way, and
    the search for a shorter script after a replay.

    Args:
        pair: Both; see Pair.
        operations: How many at most; a mismatch ends it before.
        seed: Decides which.
        report: See Report.
    """
    run = ConformRun()
    begin = monotonic()
    found = None
    while found is None and run.operations < operations and not run.interrupted:
        pair.renew()
        drawn = ScriptGenerator(Random(f"{seed}/{run.scripts}"), pair)
        few = islice(drawn, operations - run.operations)
        found = _script(pair, ((each, anything) for each in few), run, report)
    run.seconds = monotonic() - begin
    if found is not None:
        run.failures.append(_shortest(pair, run, f"seed {seed}", *found, report))
    return run


def conform_case(pair: Pair, case: Case, origin: str, report: Report = ignore) -> ConformRun:
    """Make the calls of a case from a fresh start; as conform(), but nothing is shrunk.

    Args:
        pair: Both; see Pair.
        case: Left out if it is about other releases.
        origin: What the file is called that has it.
        report: See Report.
    """
    run = ConformRun()
    if not case.holds_for(running_release()):
        run.left_out["of cases that are about other releases"] += len(case.steps)
        return run
    begin = monotonic()
    pair.renew()
    found = _script(pair, case.play(), run, report)
    run.seconds = monotonic() - begin
    if found is not None:
        run.failures.append(Failure(f"{origin}: {case.title}" if case.title else origin, 0, *found))
    return run


def replay(pair: Pair, operations: Iterable[Operation]) -> Mismatch | None:
    """Make these operations from a fresh start; return the first mismatch."""
    pair.renew()
    for operation in operations:
        if mismatch := pair.step(operation) or pair.check(operation):
            return mismatch
    return None


def _script(
    pair: Pair, operations: Iterable[tuple[Operation, Expectation]], run: ConformRun, report: Report
) -> tuple[list[Operation], Mismatch] | None:
    """Make operations; return them up to a mismatch, with that, if they met one."""
    run.scripts += 1
    made: list[Operation] = []
    for operation, expected in operations:
        if ending_taken():
            run.interrupted = True
            return None
        if _left_out(pair, operation, run):
            continue
        made.append(operation)
        if mismatch := pair.step(operation, expected):
            return made, mismatch
        run.counts[operation.name, result_name(pair.last.result)] += 1
        if run.operations % _REPORT_EVERY == 0:
            report(run)
    mismatch = pair.check(made[-1]) if made else None
    return None if mismatch is None else (made, mismatch)


def _left_out(pair: Pair, operation: Operation, run: ConformRun) -> bool:
    """Say whether an operation is not to be made on this machine, and count it then."""
    mm = pair.engine.mm
    if operation.name == "crowd" and crowd_takes_too_long(mm):
        run.left_out["vm.max_map_count is too large to be met in a run"] += 1
        return True
    if not pair.engine.sealed and takes_the_program_away(operation):
        run.left_out[unsealed.REASON] += 1
        return True
    if loses_reservation(mm, operation):
        run.left_out[LOSES_RESERVATION] += 1
        return True
    for difference in known_differences(running_release()):
        if difference.concerns(mm, operation):
            run.left_out[difference.reason] += 1
            return True
    return False


def _shortest(
    pair: Pair,
    run: ConformRun,
    origin: str,
    made: list[Operation],
    mismatch: Mismatch,
    report: Report,
) -> Failure:
    """Shrink a script; the whole of it stands if a replay does not show the mismatch again."""

    def fails(shorter: list[Operation]) -> bool:
        report(run)
        run.interrupted = run.interrupted or ending_taken()
        return not run.interrupted and replay(pair, shorter) is not None

    operations = shrink(made, fails, simpler)
    again = replay(pair, operations) or mismatch
    return Failure(origin, run.scripts - 1, operations[: again.number + 1], again)
