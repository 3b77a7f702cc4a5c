"""The run: every target with every reader, as many times as asked, readers taking turns.

Simulated machines do not disturb each other: a pool runs several at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from untorn.bench.command import EXEC
from untorn.bench.environment import Environment
from untorn.bench.lock_count import LockCount
from untorn.bench.sample import Sample, label
from untorn.bench.target import BenchOptions, BenchTarget
from untorn.errors import OutOfReachError, describe
from untorn.processes.long_run import Progress, Report, ignore, until_ending
from untorn.spread.each import each
from untorn.spread.pool import Pool
from untorn.spread.pools import open_pool


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of run: a reader of a target, as usual or in a variant."""

    target: BenchTarget
    reader: str
    variant: str = ""

    @property
    def names(self) -> set[str]:
        """Its name in options: its reader's, and its own if it is a variant."""
        return {self.reader, label(self.reader, self.variant)}

    def __str__(self) -> str:
        name = f"{self.target.name}/{self.reader}"
        return f"{name} ({self.variant})" if self.variant else name


@dataclass(slots=True)
class BenchResult:
    """The result of a benchmark, complete or not."""

    samples: list[Sample] = field(default_factory=list)
    out_of_reach: dict[str, str] = field(default_factory=dict)
    """By kind of run that could not be done: the reason."""
    lock_counts: list[LockCount] = field(default_factory=list)
    guests: dict[str, Environment] = field(default_factory=dict)
    """By target: its guest."""
    interrupted: bool = False


def kinds_of(
    targets: Sequence[BenchTarget], readers: Sequence[str] = (), commands: Sequence[str] = ()
) -> list[Kind]:
    """Return every kind of run of these targets with these readers and commands.

    A reader includes its variants; "READER, VARIANT" is one of them alone. No readers means all
    that a target has; with commands alone, it means these and `none`.

    Raises:
        LookupError: No target has one of the readers, or a target has none of them, or no target
            runs commands.
    """
    if commands and not any(target.runs_commands for target in targets):
        raise LookupError(f"target {targets[0].name} runs no commands; try --target live")
    wanted = set(readers or (("none",) if commands else ()))
    offered = {target.name: list(_offered(target)) for target in targets}
    known = {name for kinds in offered.values() for kind in kinds for name in kind.names}
    kinds = []
    for target in targets:
        kinds += _choose(target, offered[target.name], wanted, known)
        if target.runs_commands:
            kinds += [Kind(target, EXEC, command) for command in commands]
    return kinds


def _offered(target: BenchTarget) -> Iterator[Kind]:
    for reader in target.readers:
        for variant in ("", *target.variants.get(reader, ())):
            yield Kind(target, reader, variant)


def _choose(
    target: BenchTarget, offered: Sequence[Kind], wanted: set[str], known: set[str]
) -> list[Kind]:
    chosen = [kind for kind in offered if not wanted or wanted & kind.names]
    missing = wanted - known if chosen else wanted
    if missing:
        readers = ", ".join(target.readers)
        raise LookupError(f"no reader {min(missing)} at target {target.name}; readers: {readers}")
    return chosen


def measure(
    kinds: Sequence[Kind],
    options: BenchOptions,
    report: Report = ignore,
    *,
    locks: bool = False,
    address: str | None = None,
) -> BenchResult:
    """Take options.nsamples samples of each kind; call report() before each.

    If asked for, the locks that a pass takes are counted once for each kind that has readers.

    Simulated machines come first, on all CPUs or on the cluster at an address. All other kinds are
    sampled once before any is sampled again, so that a drift of the machine hits all alike; but
    guests come after the rest, one after the other. A kind that is out of reach is left out from
    then on. Ctrl-C or SIGTERM ends the measurement and returns what was measured until then.

    Raises:
        OutOfReachError: See open_pool().
    """
    simulated = [kind for kind in kinds if kind.target.simulated]
    others = [kind for kind in kinds if not kind.target.simulated]
    counted = [kind for kind in kinds if locks and kind.reader != "none"]
    measurement = _Measurement(
        options, Progress(len(kinds) * options.nsamples + len(counted), report)
    )
    with until_ending(measurement.result):
        if simulated:
            measurement.spread(simulated, counted, open_pool(address))
        for kinds_in_turn in _turns(others):
            measurement.take_turns(kinds_in_turn, counted)
    return measurement.result


def _turns(kinds: Iterable[Kind]) -> list[list[Kind]]:
    """Group the kinds that take turns: all that are in no guest, and those of each guest."""
    turns: dict[str, list[Kind]] = {}
    for kind in kinds:
        turns.setdefault(kind.target.name if kind.target.in_guest else "", []).append(kind)
    return [turns.pop("", []), *turns.values()]


class _Measurement:
    """One measurement; its outcome is in result."""

    def __init__(self, options: BenchOptions, progress: Progress) -> None:
        self.options, self.progress = options, progress
        self.result = BenchResult()

    def spread(self, kinds: list[Kind], counted: list[Kind], pool: Pool) -> None:
        """Let a pool sample kinds, and count the locks of some."""
        runs = [(kind, self.options, n) for n in range(self.options.nsamples) for kind in kinds]
        made: dict[int, _Outcome] = {}
        try:
            for number, outcome in each(pool, _make, runs, _name):
                made[number] = outcome
                self.progress.begin(_name(runs[number]))
        except OutOfReachError as error:
            self.result.out_of_reach.update({str(kind): describe(error) for kind in kinds})
        finally:
            for number in sorted(made):  # in the order of completion
                self._note(runs[number][0], *made[number])
        for kind in kinds:
            if kind in counted and str(kind) not in self.result.out_of_reach:
                self._count_locks(kind)

    def _note(self, kind: Kind, sample: Sample | str, environment: Environment | None) -> None:
        if isinstance(sample, str):
            self.result.out_of_reach[str(kind)] = sample
            return
        self.result.samples.append(sample)
        if environment is not None:
            self.result.guests[kind.target.name] = environment

    def take_turns(self, left: list[Kind], counted: list[Kind]) -> None:
        """Sample kinds in turn, and count the locks of some; close their targets then."""
        targets = {kind.target.name: kind.target for kind in left}
        try:
            for number in range(self.options.nsamples):
                left = [kind for kind in left if self._sample(kind, number)]
            for kind in left:
                if kind in counted:
                    self._count_locks(kind)
        finally:
            for name, target in targets.items():
                target.close()
                if target.environment is not None:
                    self.result.guests[name] = target.environment

    def _sample(self, kind: Kind, number: int) -> bool:
        """Add a sample to the result, or the reason why there is none; return whether it did."""
        with self._step(str(kind), str(kind)):
            sample = kind.target.run(kind.reader, self.options, number, kind.variant)
            self.result.samples.append(sample)
        return str(kind) not in self.result.out_of_reach

    def _count_locks(self, kind: Kind) -> None:
        with self._step(str(kind), f"locks of {kind}"):
            self.result.lock_counts.append(kind.target.count_locks(kind.reader, kind.variant))

    @contextmanager
    def _step(self, what: str, sought: str) -> Iterator[None]:
        """Report what begins; if it is out of reach, note why and continue."""
        self.progress.begin(what)
        try:
            yield
        except (OutOfReachError, OSError) as error:
            self.result.out_of_reach[sought] = describe(error)


_Run = tuple[Kind, BenchOptions, int]
"""One run, and its number among options.nsamples."""
_Outcome = tuple[Sample | str, Environment | None]
"""A sample, or why there is none; the machine."""


def _make(run: _Run) -> _Outcome:
    """Make a run, in a worker."""
    kind, options, number = run
    try:
        sample = kind.target.run(kind.reader, options, number, kind.variant)
    except (OutOfReachError, OSError) as error:
        return describe(error), None
    except KeyboardInterrupt:  # the worker was told to stop: nothing waits for it any more
        return "interrupted", None
    return sample, kind.target.environment


def _name(run: _Run) -> str:
    return str(run[0])
