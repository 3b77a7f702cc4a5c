"""What a guest does when it is asked to.

Each job imports what it needs itself: a guest is slow, and what it has imported stays in its
memory, on which a run that is to be had again depends.
"""

from dataclasses import asdict
from typing import Any

from untorn.errors import OutOfReachError
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


def conform(relay: Relay, options: dict[str, Any], *, five_levels: bool) -> dict[str, Any]:
    """Hold the engine to the guest's kernel, which gets a pool of huge pages for that.

    Args:
        relay: Gets now and then what the run came to so far, as JSON has it.
        options: ConformOptions, as JSON has them.
        five_levels: Its page tables have to have five levels.

    Returns:
        The run, as JSON has it.

    Raises:
        OutOfReachError: They have four.
    """
    from untorn.conform.huge_pages import give_pages
    from untorn.conform.live import LiveConformTarget
    from untorn.conform.running_kernel import has_five_levels
    from untorn.conform.target import ConformOptions

    if five_levels and not has_five_levels():
        raise OutOfReachError("this kernel's page tables have four levels, not five")
    give_pages(8, overcommit=4)
    run = LiveConformTarget().conform(
        ConformOptions.from_json(options), lambda so_far: relay(so_far.as_json())
    )
    return run.as_json()
