"""What a guest does for a benchmark."""

from dataclasses import asdict
from typing import Any

from untorn.bench.environment import Environment
from untorn.bench.live import LiveTarget
from untorn.bench.target import BenchOptions
from untorn.vm.init import Report


def describe(report: Report) -> dict[str, Any]:
    """Describe the guest."""
    return asdict(Environment.here())


def run(
    report: Report, reader: str, variant: str, number: int, options: dict[str, Any]
) -> dict[str, Any]:
    """Measure once on the guest's kernel; return the sample as JSON has it."""
    return LiveTarget().run(reader, BenchOptions(**options), number, variant).as_json()


def count_locks(report: Report, reader: str, variant: str) -> dict[str, Any]:
    """Count what a pass takes on the guest's kernel; return the count as JSON has it."""
    return asdict(LiveTarget().count_locks(reader, variant))
