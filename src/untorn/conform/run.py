"""The run: one script after another, until enough operations agreed or one did not."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from random import Random
from time import monotonic

from untorn.conform.case import Case
from untorn.conform.case_text import parse_cases
from untorn.conform.generate.script import ScriptGenerator
from untorn.conform.huge_pages import (
    DISTURBED,
    IN_USE,
    LOSES_RESERVATION,
    counts_of,
    loses_reservation,
    maps_huge_pages,
)
from untorn.conform.operation import Operation, crowd_takes_too_long
from untorn.conform.outcome import ConformRun, Failure, Report, ignore
from untorn.conform.overcommit import REASON, is_uncertain
from untorn.conform.pair import Expectation, Mismatch, Pair, anything
from untorn.conform.running_kernel import known_differences
from untorn.conform.script_text import result_name, simpler
from untorn.conform.target import ConformOptions
from untorn.conform.unsealed import takes_the_program_away
from untorn.processes.endings import ending_taken
from untorn.processes.long_run import until_ending
from untorn.shrink import shrink

Making = Callable[[Report], ConformRun]
"""A part of a run; it reports its progress."""
_TIMES_AGAIN = 3


def conform(pair: Pair, operations: int, seed: str, report: Report = ignore) -> ConformRun:
    """Make operations on both processes of a pair, and compare after each.

    Inside endings_held(), Ctrl-C or SIGTERM ends it, and the search for a shorter script.

    Args:
        pair: Both; see Pair.
        operations: The most operations; a mismatch ends it earlier.
        seed: Determines the operations.
        report: See Report.
    """
    run = ConformRun()
    begin = monotonic()
    found = None
    while found is None and run.operations < operations and not run.interrupted:
        with until_ending(run):
            pair.renew()
            drawn = ScriptGenerator(Random(f"{seed}/{run.scripts}"), pair)
            few = islice(drawn, operations - run.operations)
            found = _script(pair, ((each, anything) for each in few), run)
            if found and not _stands(pair, *found, partial(replay, pair, found[0])):
                run.left_out[DISTURBED] += 1
                found = None
        run.seconds = monotonic() - begin
        report(run)
    if found is not None:
        run.failures.append(_shortest(pair, run, f"seed {seed}", *found, report))
    return run


def conform_case(pair: Pair, case: Case, origin: str, report: Report = ignore) -> ConformRun:
    """Make the calls of a case from a fresh start; like conform(), but nothing is shrunk.

    Args:
        pair: Both; see Pair.
        case: Skipped if it is about other releases.
        origin: Name of the file that has it.
        report: See Report.
    """
    run = ConformRun()
    if not case.holds_for(pair.release):
        run.left_out["of cases that are about other releases"] += len(case.steps)
        return run
    begin = monotonic()
    found = None
    with until_ending(run):
        pair.renew()
        found = _script(pair, case.play(), run)
        if found and not _stands(pair, *found, partial(_play, pair, case)):
            run.left_out[DISTURBED] += 1
            found = None
    run.seconds = monotonic() - begin
    report(run)
    if found is not None:
        run.failures.append(Failure(f"{origin}: {case.title}" if case.title else origin, 0, *found))
    return run


def conform_all(pair: Pair, options: ConformOptions, release: str, report: Report) -> ConformRun:
    """Make one seed after the other, or one case of the files after the other."""
    made = ConformRun(release=release)

    def so_far(run: ConformRun) -> None:
        report(made + run)

    for make in _all_cases(pair, options) if options.files else _all_seeds(pair, options):
        made += make(so_far)
        if made.interrupted:
            break
    return made


def _all_seeds(pair: Pair, options: ConformOptions) -> Iterator[Making]:
    for seed in options.seeds:
        yield partial(conform, pair, options.operations, seed)


def _all_cases(pair: Pair, options: ConformOptions) -> Iterator[Making]:
    for name, text in options.files.items():
        for case in parse_cases(text):
            yield partial(conform_case, pair, case, name)


def replay(pair: Pair, operations: Iterable[Operation]) -> Mismatch | None:
    """Make these operations from a fresh start; return the first mismatch.

    It ends before an operation to be skipped: that leads to a known difference.
    """
    pair.renew()
    for operation in operations:
        if _left_out(pair, operation, ConformRun()):
            break
        if not pair.go_ahead(operation, check=True):
            break
    return pair.catch_up()[1]


def _stands(
    pair: Pair,
    made: Iterable[Operation],
    mismatch: Mismatch,
    again: Callable[[], Mismatch | None],
) -> bool:
    """Return whether a mismatch is real, and not what others do to the huge pages.

    Other programs may take pages of a pool, and give them back, at any moment. So a script for
    which pools matter is repeated, and must differ in the same way each time.

    Args:
        pair: Both, after the mismatch.
        made: Operations up to the mismatch.
        mismatch: The mismatch.
        again: Repeats the script, and returns where that differs.
    """
    counted = bool(counts_of(pair.engine.mm.huge_pools))
    if mismatch.engine.fault or not (counted or any(map(maps_huge_pages, made))):
        return True
    for _ in range(_TIMES_AGAIN):
        found = again()
        if ending_taken():
            return True
        if found != mismatch or pair.pools_in_use:
            return False
    return True


def _play(pair: Pair, case: Case) -> Mismatch | None:
    """Play a case from a fresh start; return where it differs."""
    pair.renew()
    found = _script(pair, case.play(), ConformRun())
    return None if found is None else found[1]


def _script(
    pair: Pair, operations: Iterable[tuple[Operation, Expectation]], run: ConformRun
) -> tuple[list[Operation], Mismatch] | None:
    """Make operations; return them up to a mismatch, with the mismatch, if there is one."""
    run.scripts += 1
    made: list[Operation] = []
    mismatch = None
    for operation, expected in operations:
        if ending_taken():
            run.interrupted = True
            break
        if _left_out(pair, operation, run):
            continue
        made.append(operation)
        if not pair.go_ahead(operation, expected):
            break
        if pair.is_far_ahead and (mismatch := _catch_up(pair, run)):
            break
    mismatch = mismatch or _catch_up(pair, run) or (pair.check(made[-1]) if made else None)
    return None if mismatch is None else (made[: mismatch.number + 1], mismatch)


def _catch_up(pair: Pair, run: ConformRun) -> Mismatch | None:
    agreed, mismatch = pair.catch_up()
    run.counts.update((done.operation.name, result_name(done.answer.result)) for done in agreed)
    return mismatch


def _left_out(pair: Pair, operation: Operation, run: ConformRun) -> bool:
    """Return whether to skip an operation on this kernel; if so, count it."""
    mm = pair.engine.mm
    if operation.name == "crowd" and crowd_takes_too_long(mm):
        run.left_out["vm.max_map_count is too large to be met in a run"] += 1
        return True
    if reason := takes_the_program_away(operation, sealed=pair.engine.sealed):
        run.left_out[reason] += 1
        return True
    if pair.pools_in_use and maps_huge_pages(operation):
        run.left_out[IN_USE] += 1
        return True
    if is_uncertain(mm, operation):
        run.left_out[REASON] += 1
        return True
    if loses_reservation(mm, operation):
        run.left_out[LOSES_RESERVATION] += 1
        return True
    for difference in known_differences(pair.release):
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
    """Shrink a script; if a replay does not show the mismatch again, keep all of it."""
    shortest = made

    def fails(shorter: list[Operation]) -> bool:
        nonlocal shortest, mismatch
        report(run)
        run.interrupted = run.interrupted or ending_taken()
        found = None
        if not run.interrupted:
            with until_ending(run):
                found = replay(pair, shorter)
                if found and not _stands(pair, shorter, found, partial(replay, pair, shorter)):
                    found = None
        if found is None:
            return False
        shortest, mismatch = shorter[: found.number + 1], found
        return True

    shrink(made, fails, simpler)
    return Failure(origin, run.scripts - 1, shortest, mismatch)
