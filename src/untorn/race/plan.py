"""Plan: what a run of race tests consists of."""

from collections.abc import Sequence
from dataclasses import dataclass

from untorn.race.catalogue import catalogue
from untorn.race.racing import Effort
from untorn.race.target import RaceTarget


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run.

    Attributes:
        target, kind, readers: Where, which file, and how it is read.
        tests: Names in the catalogue.
        effort: For each test; its cases share it.
        seed: Decides what random writers do.
        disturb: Whether readers are disturbed.
        verbose: Whether the lines that a round changes are shown.
    """

    target: RaceTarget
    kind: str
    readers: Sequence[str]
    tests: Sequence[str]
    effort: Effort
    seed: int = 0
    disturb: bool = False
    verbose: bool = False

    @classmethod
    def of(
        cls,
        target: RaceTarget,
        kind: str,
        readers: Sequence[str],
        tests: Sequence[str],
        effort: Effort,
        *,
        seed: int = 0,
        disturb: bool = False,
        verbose: bool = False,
    ) -> "Plan":
        """Return the plan with what is not named filled in: all readers of the file, all tests.

        Raises:
            LookupError: There is no such file, reader or test; the message names those there are.
        """
        files = target.readers
        if kind not in files:
            raise LookupError(f"no file {kind} at target {target.name}; files: {', '.join(files)}")
        chosen = _chosen("reader", f" of {kind}", readers, files[kind])
        named = _chosen("test", "", tests, list(catalogue()))
        return cls(target, kind, chosen, named, effort, seed, disturb, verbose)


def _chosen(what: str, of: str, wanted: Sequence[str], offered: Sequence[str]) -> Sequence[str]:
    """Return what is wanted in the order that it is offered, or all."""
    unknown = [each for each in wanted if each not in offered]
    if unknown:
        raise LookupError(f"no {what} {unknown[0]}{of}; {what}s: {', '.join(offered)}")
    return [each for each in offered if each in wanted or not wanted]
