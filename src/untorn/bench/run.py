"""The run: every target with every reader, as often as asked, readers taking turns."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from untorn.bench.command import EXEC
from untorn.bench.environment import Environment
from untorn.bench.lock_count import LockCount
from untorn.bench.sample import Sample
from untorn.bench.target import BenchOptions, Target
from untorn.errors import OutOfReachError, describe
from untorn.processes.endings import ending_taken, endings_held


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of run: a reader of a target, in its usual way or in a variant of it."""

    target: Target
    reader: str
    variant: str = ""

    def __str__(self) -> str:
        name = f"{self.target.name}/{self.reader}"
        return f"{name} ({self.variant})" if self.variant else name


@dataclass(slots=True)
class Outcome:
    """What a run came to, complete or not."""

    samples: list[Sample] = field(default_factory=list)
    out_of_reach: dict[str, str] = field(default_factory=dict)
    """By kind of run that could not be done, why."""
    lock_counts: list[LockCount] = field(default_factory=list)
    guests: dict[str, Environment] = field(default_factory=dict)
    """By target, the guest that it is."""
    interrupted: bool = False


def plan(
    targets: Sequence[Target], readers: Sequence[str] = (), commands: Sequence[str] = ()
) -> list[Kind]:
    """Return every kind of run of these targets with these readers and commands.

    Without any, all readers that a target has; with commands alone, these and `none`.

    Raises:
        LookupError: No target has one of the readers, or a target has none of them, or no target
            runs commands.
    """
    if commands and not any(target.runs_commands for target in targets):
        raise LookupError(f"target {targets[0].name} runs no commands; try --target live")
    wanted = set(readers or (("none",) if commands else ()))
    known = {reader for target in targets for reader in target.readers}
    kinds = []
    for target in targets:
        for reader in _choose_readers(target, wanted, known):
            variants = ("", *target.variants.get(reader, ()))
            kinds += [Kind(target, reader, variant) for variant in variants]
        if target.runs_commands:
            kinds += [Kind(target, EXEC, command) for command in commands]
    return kinds


def _choose_readers(target: Target, wanted: set[str], known: set[str]) -> list[str]:
    chosen = [reader for reader in target.readers if reader in wanted or not wanted]
    missing = wanted - known if chosen else wanted
    if missing:
        offered = ", ".join(target.readers)
        raise LookupError(f"no reader {min(missing)} at target {target.name}; readers: {offered}")
    return chosen


def measure(
    kinds: Iterable[Kind],
    options: BenchOptions,
    report: Callable[[Kind], None],
    *,
    locks: bool = False,
) -> Outcome:
    """Take options.nsamples samples of each kind; report() is told the kind before each.

    If asked for, the locks that a pass takes are counted once for each kind that has readers.

    All kinds are sampled once before any is sampled again, so that a drift of the machine hits
    all alike; but guests come after the rest, one after the other. A kind that is out of reach is
    left out from then on. Ctrl-C or SIGTERM ends the measurement, and what was measured until then
    is returned.
    """
    outcome = Outcome()
    try:
        with endings_held():
            for left in _turns(kinds):
                _take_turns(left, options, report, outcome, locks)
    except KeyboardInterrupt:
        outcome.interrupted = True
    return outcome


def _turns(kinds: Iterable[Kind]) -> list[list[Kind]]:
    """Sort the kinds into those that take turns: all that are in no guest, and each guest's."""
    turns: dict[str, list[Kind]] = {}
    for kind in kinds:
        turns.setdefault(kind.target.name if kind.target.in_guest else "", []).append(kind)
    return [turns.pop("", []), *turns.values()]


def _take_turns(
    left: list[Kind],
    options: BenchOptions,
    report: Callable[[Kind], None],
    outcome: Outcome,
    locks: bool,
) -> None:
    targets = {kind.target.name: kind.target for kind in left}
    try:
        for number in range(options.nsamples):
            left = [kind for kind in left if _sample(kind, options, number, report, outcome)]
        for kind in left if locks else ():
            if kind.reader != "none":
                _count_locks(kind, report, outcome)
    finally:
        for name, target in targets.items():
            target.close()
            if target.environment is not None:
                outcome.guests[name] = target.environment


def _sample(
    kind: Kind,
    options: BenchOptions,
    number: int,
    report: Callable[[Kind], None],
    outcome: Outcome,
) -> bool:
    """Add one sample to the outcome, or the reason why there can be none; tell which."""
    _begin(kind, report)
    try:
        sample = kind.target.run(kind.reader, options, number, kind.variant)
    except (OutOfReachError, OSError) as error:
        outcome.out_of_reach[str(kind)] = describe(error)
        return False
    outcome.samples.append(sample)
    return True


def _count_locks(kind: Kind, report: Callable[[Kind], None], outcome: Outcome) -> None:
    _begin(kind, report)
    try:
        outcome.lock_counts.append(kind.target.count_locks(kind.reader, kind.variant))
    except (OutOfReachError, OSError) as error:
        outcome.out_of_reach[f"locks of {kind}"] = describe(error)


def _begin(kind: Kind, report: Callable[[Kind], None]) -> None:
    if ending_taken():
        raise KeyboardInterrupt
    report(kind)


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[Kind], None]]:
    """Show on stderr, if that is a terminal, how many of total samples have been taken."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    # Refreshed by hand: a thread that refreshes would compete with the threads of the engine.
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=total, completed=-1)

        def advance(kind: Kind) -> None:
            progress.update(task, advance=1, description=str(kind), refresh=True)

        yield advance
