"""The costs of the running kernel, measured by processes of our own, one after the other."""

import os
import re
from pathlib import Path
from typing import Any

from untorn.bench.calibrate.reads import measure_reads
from untorn.bench.calibrate.switches import measure_switches
from untorn.bench.calibrate.updates import measure_updates
from untorn.bench.here import NORMAL_NICE, choose_cpus
from untorn.processes.children import START_TIMEOUT, Children, ChildWork

ROUNDS = 5
"""Rounds of all measurements."""
_MODEL = re.compile(r"^model name\s*: (.*)$", re.MULTILINE)


def describe_here(vma_lock: float, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure what code costs on the running kernel.

    Args:
        vma_lock: What the lock of a VMA costs, in ns, which no system call shows by itself.
        rounds: How many times.

    Returns:
        `rounds`: by name in Costs, what each round found, in ns; costs that cannot be measured here
        are missing, such as a query if the kernel has none. `kernel` and `cpu`: as in CostTable.

    Raises:
        OutOfReachError: This user may use only one CPU, or not as a benchmark does.
        OSError: A system call failed that should not have.
    """
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, cost in _measure_once(vma_lock).items():
            found.setdefault(name, []).append(cost)
    model = _MODEL.search(Path("/proc/cpuinfo").read_text())
    cpu = model[1] if model else os.uname().machine
    return {"rounds": found, "kernel": os.uname().release, "cpu": cpu}


def _measure_once(vma_lock: float) -> dict[str, float]:
    cpus = choose_cpus()
    updates = _in_child(measure_updates)
    paid = {"syscall": updates["syscall"], "mmap_lock": updates["mmap_lock"]}
    reads = _in_child(measure_reads, **paid, vma_lock=vma_lock)
    switches = _in_child(measure_switches, own_cpu=cpus.mapper, other_cpu=cpus.scanners)
    return updates | reads | switches


def _in_child(work: ChildWork, **arguments: float) -> dict[str, float]:
    with Children() as children:
        child = children.add(work, choose_cpus().mapper, NORMAL_NICE, **arguments)
        costs: dict[str, float] = child.receive(START_TIMEOUT)["costs"]
    return costs
