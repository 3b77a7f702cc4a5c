"""On which CPU and at which priority the tasks of a benchmark run.

The mapper has a CPU to itself. Scanners and busy tasks share another, so that busy tasks preempt
scanners in the middle of a read: the priority inversion that the benchmark is about.
"""

import os
from typing import NamedTuple

from untorn.errors import OutOfReachError

NORMAL_NICE = 0
SCANNER_NICE = 15
"""Nice value of a scanner, as a considerate monitor has."""


class Cpus(NamedTuple):
    """The two CPUs of a run."""

    mapper: int
    scanners: int


def choose_cpus() -> Cpus:
    """Return two CPUs that the caller may use, as far apart as there are.

    Raises:
        OutOfReachError: It may use one only.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise OutOfReachError(
            "the benchmark needs two CPUs, one for the mapper and one for the scanners; "
            f"only CPU {allowed[0]} is allowed here (see taskset(1))"
        )
    return Cpus(mapper=allowed[0], scanners=allowed[-1])
