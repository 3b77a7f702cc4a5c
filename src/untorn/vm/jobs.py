"""The jobs that a guest can be asked to do.

Each job imports what it needs itself: a guest is slow, and whatever it has imported stays in its
memory, on which a replayed run depends.
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
    """Measure once on the guest's kernel; return the sample as JSON values."""
    from untorn.bench.live import LiveBenchTarget
    from untorn.bench.target import BenchOptions

    return LiveBenchTarget().run(reader, BenchOptions(**options), number, variant).as_json()


def calibrate(relay: Relay, vma_lock: float, rounds: int) -> dict[str, Any]:
    """Measure what code costs on the guest's kernel: see describe_here()."""
    from untorn.bench.calibrate.measured import describe_here

    return describe_here(vma_lock, rounds)


def count_locks(relay: Relay, reader: str, variant: str) -> dict[str, Any]:
    """Count what a pass takes on the guest's kernel; return the count as JSON values."""
    from untorn.bench.live import LiveBenchTarget

    return asdict(LiveBenchTarget().count_locks(reader, variant))


def race(relay: Relay, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Run race tests on the guest's kernel.

    Args:
        relay: Called with a pair: "line" and a line of KTAP, or "step" and a Report's arguments.
        name: Name of the target in the results.
        options: RaceOptions as JSON values.

    Returns:
        How many cases passed, failed and were skipped, and why.
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


def script(relay: Relay, text: str, name: str) -> Any:
    """Run the text of a module; return what the function of that name returns.

    The module may import what a guest has of this package, and the interpreter's own library.
    """
    names: dict[str, Any] = {"__name__": "script"}
    exec(compile(text, "script", "exec"), names)
    return names[name]()
