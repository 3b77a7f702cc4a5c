"""BenchTarget: a process under test and the readers it offers; what a run of it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from untorn.bench.environment import Environment
from untorn.bench.lock_count import LockCount
from untorn.bench.sample import Sample
from untorn.sim.costs import CostTable

WORKLOADS = {"mmap": "mmap and munmap", "fault": "first touches of pages"}
"""By workload, the calls of the mapper that are timed."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What every run of a benchmark takes."""

    nsamples: int = 5
    """Runs of each kind."""
    duration: float = 1.5
    """Seconds that one run measures."""
    virtual_duration: float = 0.1
    """The same of a simulated machine, in its own time."""
    busyduration: float = 2.0
    """Milliseconds that a busy task spins before it sleeps for one."""
    scanners: int = 2
    """Readers at work in one run, and as many busy tasks."""
    mb: int = 128
    """Mebibytes of the region whose pages are mapped and unmapped, timed or not.

    About 64 VMAs per MiB in the end: from 1000 on, vm.max_map_count has to be raised."""
    gap: float = 10.0
    """Microseconds from the end of one call to the start of the next."""
    workload: str = "mmap"
    """What is timed: a key of WORKLOADS."""
    resident_mb: int = 0
    """Mebibytes that the mapper has in one additional VMA, every page of them resident."""
    huge: bool = False
    """These are in huge pages; if not, in pages of 4 KiB."""
    virtual_time: bool = False
    """Guests are emulated by counting instructions, and live in a time that follows from these."""
    cpus: int = 2
    """CPUs of a simulated machine, of which the mapper has one to itself."""
    preemption: str = "full"
    """Where a thread is preempted there: a key of sim.machine.PREEMPTION."""
    nice: int = 15
    """Nice value of the scanners of a simulated machine."""
    mapper_fifo: int = 0
    """Priority of the mapper there as SCHED_FIFO; 0 for a fair one."""
    costs: CostTable | None = None
    """What code costs there; None for the table of the package."""
    seed: int = 1
    """Where the choice of pages starts; each run goes on from the seed and its own number."""

    @property
    def timed(self) -> str:
        """What the latencies are of, for a title."""
        pages = "huge pages" if self.huge else "4 KiB pages"
        beside = f"; {self.resident_mb:,} MiB resident in one VMA of {pages}"
        return WORKLOADS[self.workload] + (beside if self.resident_mb else "")


class BenchTarget(Protocol):
    """Where the benchmark runs: the engine, the running kernel, or another."""

    @property
    def name(self) -> str:
        """What the command line calls it."""

    @property
    def readers(self) -> tuple[str, ...]:
        """Readers it offers; `none` first, which has busy tasks but no scanner."""

    @property
    def variants(self) -> Mapping[str, tuple[str, ...]]:
        """By reader, further ways to run it, apart from the usual one; mostly empty."""

    @property
    def runs_commands(self) -> bool:
        """Whether its scanners may be a command: the reader `exec`, whose variants are commands."""

    @property
    def in_guest(self) -> bool:
        """Whether it is a machine of its own: its runs follow each other, then it is closed."""

    @property
    def simulated(self) -> bool:
        """Whether its machine is simulated: its runs come out the same in any process."""

    @property
    def environment(self) -> Environment | None:
        """The guest, once it has been up; None for a target that is not in one."""

    def run(self, reader: str, options: BenchOptions, number: int, variant: str = "") -> Sample:
        """Measure once; number says which of options.nsamples this is, from 0.

        Raises:
            OutOfReachError: This machine, kernel or user cannot do it.
            OSError: A system call failed that should not have.
        """

    def count_locks(self, reader: str, variant: str = "") -> LockCount:
        """Count how often a pass of that reader takes mmap_lock; raises as run()."""

    def close(self) -> None:
        """End what its runs have left for the next; it may be used again."""
