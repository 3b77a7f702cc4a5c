"""RaceTarget: a process under test with a writer in it, and the ways to read its map."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, Self

from untorn.processes.long_run import Report
from untorn.race.case import catalogue
from untorn.race.racing import Effort
from untorn.race.tally import RaceResult

WriteLine = Callable[[str], None]
"""Takes a line of KTAP, without its newline."""


@dataclass(frozen=True, slots=True)
class RaceOptions:
    """What is to be run, at whatever target.

    Attributes:
        kind, readers: Which file, and how it is read.
        tests: Names in the catalogue.
        effort: For each test; its cases share it.
        seed: Decides what random writers do.
        disturb: Whether readers are disturbed.
        verbose: Whether the lines that a round changes are shown.
    """

    kind: str
    readers: Sequence[str]
    tests: Sequence[str]
    effort: Effort
    seed: int = 0
    disturb: bool = False
    verbose: bool = False

    def fill_in(self, target: "RaceTarget") -> Self:
        """Return these for a target with what is not named filled in: all its readers, all tests.

        Raises:
            LookupError: There is no such file, reader or test; the message names those there are.
                Or the target has no use for a disturbance.
            OutOfReachError: Readers cannot be disturbed on this machine.
        """
        files = target.readers
        if self.kind not in files:
            offered = ", ".join(files)
            raise LookupError(f"no file {self.kind} at target {target.name}; files: {offered}")
        readers = _chosen("reader", f" of {self.kind}", self.readers, files[self.kind])
        tests = _chosen("test", "", self.tests, list(catalogue()))
        if self.disturb:
            target.disturbance()
        return replace(self, readers=readers, tests=tests)

    def as_json(self) -> dict[str, Any]:
        """Return them as JSON can carry them."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return the options that as_json() made these fields of."""
        return cls(**fields | {"effort": Effort(**fields["effort"])})


def _chosen(what: str, of: str, wanted: Sequence[str], offered: Sequence[str]) -> Sequence[str]:
    """Return what is wanted in the order that it is offered, or all."""
    unknown = [each for each in wanted if each not in offered]
    if unknown:
        raise LookupError(f"no {what} {unknown[0]}{of}; {what}s: {', '.join(offered)}")
    return [each for each in offered if each in wanted or not wanted]


class RaceTarget(Protocol):
    """Where race tests run: the engine, the running kernel, or another kernel."""

    @property
    def name(self) -> str:
        """What the command line calls it."""

    @property
    def readers(self) -> Mapping[str, tuple[str, ...]]:
        """By file of fs/proc/files.py, the ways to read it; the usual one first."""

    def disturbance(self) -> str:
        """Return what disturbs the reader here if it is asked for, in half a line.

        Raises:
            OutOfReachError: There is no way to do it on this machine.
            LookupError: It would be of no use here; the message says why.
        """

    def race(self, options: RaceOptions, write: WriteLine, report: Report) -> RaceResult:
        """Run tests; Ctrl-C or SIGTERM leaves the rest out.

        Args:
            options: What to run, filled in for this target.
            write: Takes the results as they come.
            report: Is told of each case.

        Raises:
            OutOfReachError: Nothing can be run on this machine.
        """
