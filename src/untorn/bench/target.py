"""Target: a process under test and the readers it offers; what a run of it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from untorn.bench.sample import Sample


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What every run of a benchmark takes."""

    nsamples: int = 5
    """Runs of each kind."""
    duration: float = 1.5
    """Seconds that one run measures."""
    busyduration: float = 2.0
    """Milliseconds that a busy task spins before it sleeps for one."""
    scanners: int = 2
    """Readers at work in one run, and as many busy tasks."""
    mb: int = 128
    """Mebibytes of the region whose pages are mapped and unmapped.

    About 64 VMAs per MiB in the end: from 1000 on, vm.max_map_count has to be raised."""
    seed: int = 1
    """Where the choice of pages starts; each run goes on from the seed and its own number."""


class Target(Protocol):
    """Where the benchmark runs: the engine, the running kernel, or another."""

    @property
    def name(self) -> str:
        """What the command line calls it."""

    @property
    def readers(self) -> tuple[str, ...]:
        """Readers it offers; `none` first, which has busy tasks but no scanner."""

    @property
    def variants(self) -> Mapping[str, tuple[str, ...]]:
        """By reader, further ways to run it beside the usual one; mostly empty."""

    @property
    def runs_commands(self) -> bool:
        """Whether its scanners may be a command: the reader `exec`, whose variants are commands."""

    def run(self, reader: str, options: BenchOptions, number: int, variant: str = "") -> "Sample":
        """Measure once; number says which of options.nsamples this is, from 0.

        Raises:
            OutOfReach: This machine, kernel or user cannot do it.
            OSError: A system call failed that should not have.
        """


_PLACES = {"engine": "untorn.bench.engine:EngineTarget", "live": "untorn.bench.live:LiveTarget"}


def find_target(name: str) -> Target:
    """Return the target of that name; only then is its module imported.

    Raises:
        LookupError: There is none; the message names those there are.
    """
    if name not in _PLACES:
        raise LookupError(f"no target {name}; targets: {', '.join(_PLACES)}")
    module, _, factory = _PLACES[name].partition(":")
    return cast(Target, getattr(import_module(module), factory)())
