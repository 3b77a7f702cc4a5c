"""What a guest does when it is asked to.

Each job imports what it needs itself: a guest is slow, and what it has imported stays in its
memory, on which a run that is to be had again depends.
"""

from dataclasses import asdict
from typing import Any

from untorn.vm.init import Relay


def describe(relay: Relay) -> dict[str, Any]:
    """Describe the guest."""
    from untorn.bench.environment import Environment

    return asdict(Environment.here())


def bench(
    relay: Relay, reader: str, variant: str, number: int, options: dict[str, Any]
) -> dict[str, Any]:
    """Measure once on the guest's kernel; return the sample as JSON has it."""
    from untorn.bench.live import LiveBenchTarget
    from untorn.bench.target import BenchOptions

    return LiveBenchTarget().run(reader, BenchOptions(**options), number, variant).as_json()


def calibrate(relay: Relay, vma_lock: float, rounds: int) -> dict[str, Any]:
    """Measure what code costs on the guest's kernel: see describe_here()."""
    from untorn.bench.calibrate.measured import describe_here

    return describe_here(vma_lock, rounds)


def count_locks(relay: Relay, reader: str, variant: str) -> dict[str, Any]:
    """Count what a pass takes on the guest's kernel; return the count as JSON has it."""
    from untorn.bench.live import LiveBenchTarget

    return asdict(LiveBenchTarget().count_locks(reader, variant))


def race(relay: Relay, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Run race tests on the guest's kernel.

    Args:
        relay: Gets a pair: "line" and a line of KTAP, or "step" and what a Report is told.
        name: Of the target, as results have it.
        options: RaceOptions, as JSON has them.

    Returns:
        How many cases passed, failed, were skipped, and why.
    """
    from untorn.race.live import LiveRaceTarget
    from untorn.race.target import RaceOptions

    result = LiveRaceTarget(name).race(
        RaceOptions.from_json(options),
        lambda line: relay(("line", line)),
        lambda *step: relay(("step", step)),
    )
    counts = {"passed": result.passed, "failed": result.failed, "skipped": result.skipped}
    return counts | {"reasons": dict(result.reasons)}
