"""RaceTarget: a process under test with a writer in it, and the ways to read its map."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, Self

from untorn.processes.long_run import Report
from untorn.race.case import catalogue
from untorn.race.racing import Effort
from untorn.race.tally import RaceResult

WriteLine = Callable[[str], None]
"""Called with a line of KTAP, without its newline."""


@dataclass(frozen=True, slots=True)
class RaceOptions:
    """What to run, at any target.

    Attributes:
        kind, readers: Which file to read, and how.
        tests: Names of tests in the catalogue.
        effort: How long each test races; its cases share it.
        seed: Determines what random writers do.
        disturb: Whether to disturb the readers.
        verbose: Whether to show the lines that a round changes.
    """

    kind: str
    readers: Sequence[str]
    tests: Sequence[str]
    effort: Effort
    seed: int = 0
    disturb: bool = False
    verbose: bool = False

    def fill_in(self, target: "RaceTarget") -> Self:
        """Return these options for a target, with its readers and all tests where none are named.

        Raises:
            LookupError: There is no such file, reader or test, and the message names those that
                exist; or a disturbance would be of no use at the target.
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
        """Return the options as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return the options that as_json() turned into these fields."""
        return cls(**fields | {"effort": Effort(**fields["effort"])})


def _chosen(what: str, of: str, wanted: Sequence[str], offered: Sequence[str]) -> Sequence[str]:
    """Return what is wanted, in the order in which it is offered; all if nothing is named."""
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
        """By file of fs/proc/files.py, the ways to read it, the usual one first."""

    def disturbance(self) -> str:
        """Return what disturbs the reader here, as half a line of text.

        Raises:
            OutOfReachError: There is no way to do it on this machine.
            LookupError: It would be of no use here; the message says why.
        """

    def race(self, options: RaceOptions, write: WriteLine, report: Report) -> RaceResult:
        """Run tests; Ctrl-C or SIGTERM skips the rest.

        Args:
            options: What to run, filled in for this target.
            write: Called with each line of the results.
            report: Called for each case.

        Raises:
            OutOfReachError: Nothing can be run on this machine.
        """
