"""Samples and targets that are invented, without any machine."""

from collections.abc import Callable
from typing import Any

from untorn.bench.environment import Environment
from untorn.bench.here import Here
from untorn.bench.lock_count import LockCount
from untorn.bench.sample import Sample
from untorn.bench.target import BenchOptions
from untorn.errors import OutOfReachError

ENVIRONMENT = Environment(
    kernel="6.18.0",
    kernel_build="#1 SMP",
    preemption=None,
    machine="x86_64",
    cpus=(0, 3),
    python="CPython 3.11.7",
    gil=True,
    switch_interval_ms=5.0,
    load=(0.0, 0.0, 0.0),
    date="2026-01-01T00:00:00+00:00",
)


def sample(target: str, reader: str, number: int, *latencies_ms: float, **others: Any) -> Sample:
    latencies_ns = [round(each * 1e6) for each in latencies_ms]
    return Sample.from_latencies(target, reader, number, latencies_ns, **others)


class FakeTarget(Here):
    """A target whose runs take `latency_ms`, unless `on_run` does something else."""

    def __init__(
        self,
        name: str = "fake",
        readers: tuple[str, ...] = ("none", "slow"),
        variants: dict[str, tuple[str, ...]] | None = None,
        on_run: Callable[[str, int], None] = lambda reader, number: None,
        runs_commands: bool = True,
    ) -> None:
        self.runs_commands = runs_commands
        self.name, self.readers, self.variants = name, readers, variants or {}
        self.on_run = on_run
        self.runs: list[tuple[str, int, str]] = []

    def count_locks(self, reader: str, variant: str = "") -> LockCount:
        raise OutOfReachError("nothing is locked here")

    def run(self, reader: str, options: BenchOptions, number: int, variant: str = "") -> Sample:
        self.runs.append((reader, number, variant))
        self.on_run(reader, number)
        latency_ms = 0.01 if reader == "none" else 1.0
        return sample(self.name, reader, number, latency_ms, variant=variant)
