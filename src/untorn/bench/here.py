"""What targets outside of guests share: CPUs, priorities, and the wait for the mapper.

The mapper has a CPU to itself. Scanners and busy tasks share another, so that busy tasks preempt
scanners in the middle of a read: the priority inversion that the benchmark is about.
"""

import os
from array import array
from typing import Any, NamedTuple

from untorn.bench.environment import Environment
from untorn.errors import OutOfReachError
from untorn.processes.children import Child

NORMAL_NICE = 0
SCANNER_NICE = 15
"""Nice value of a scanner, as a considerate monitor has."""
GRACE = 10.0
"""Seconds after its end is due until a mapper counts as hung."""


class Here:
    """A target that is not in a guest."""

    in_guest = False
    simulated = False
    environment: Environment | None = None

    def close(self) -> None:
        """Do nothing: a run leaves nothing behind."""


class Cpus(NamedTuple):
    """The two CPUs of a run."""

    mapper: int
    scanners: int


def choose_cpus() -> Cpus:
    """Return the two CPUs farthest apart of those that the caller may use.

    Raises:
        OutOfReachError: It may use only one.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise OutOfReachError(
            "the benchmark needs two CPUs, one for the mapper and one for the scanners; "
            f"only CPU {allowed[0]} is allowed here (see taskset(1))"
        )
    return Cpus(mapper=allowed[0], scanners=allowed[-1])


def await_updates(mapper: Child, duration: float) -> tuple[dict[str, Any], "array[int]"]:
    """Return the mapper's counts and latencies; both empty if it hangs."""
    try:
        measured = mapper.receive(duration + GRACE)
        data = mapper.receive_bytes(8 * measured.pop("updates"), GRACE)
    except TimeoutError:
        return {}, array("q")
    return measured, array("q", data)
