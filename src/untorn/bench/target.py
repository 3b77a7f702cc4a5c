"""BenchTarget: a process under test and the readers it offers; the options of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from untorn.bench.environment import Environment
from untorn.bench.lock_count import LockCount
from untorn.bench.sample import Sample
from untorn.sim.costs import CostTable

WORKLOADS = {"mmap": "mmap and munmap", "fault": "first touches of pages"}
"""By workload: the calls of the mapper that are timed."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """The options of every run of a benchmark."""

    nsamples: int = 5
    """Runs of each kind."""
    duration: float = 1.5
    """Seconds that one run measures."""
    virtual_duration: float = 0.1
    """The same for a simulated machine, in virtual time."""
    busyduration: float = 2.0
    """Milliseconds that a busy task spins before it sleeps for one."""
    scanners: int = 2
    """Readers in one run, and as many busy tasks."""
    mb: int = 128
    """Mebibytes of the region whose pages are mapped and unmapped, timed or not.

    There are about 64 VMAs per MiB in the end: from 1000 MiB on, vm.max_map_count must be
    raised."""
    gap: float = 10.0
    """Microseconds from the end of one call to the start of the next."""
    workload: str = "mmap"
    """What is timed: a key of WORKLOADS."""
    resident_mb: int = 0
    """Mebibytes of one additional VMA of the mapper, all of it resident."""
    huge: bool = False
    """Whether these are in huge pages; if not, in pages of 4 KiB."""
    virtual_time: bool = False
    """Whether guests are emulated by counting instructions, which determines their time."""
    cpus: int = 2
    """CPUs of a simulated machine; the mapper has one to itself."""
    preemption: str = "full"
    """Its preemption model: a key of sim.machine.PREEMPTION."""
    nice: int = 15
    """Nice value of the scanners of a simulated machine."""
    mapper_fifo: int = 0
    """Priority of its mapper under SCHED_FIFO; 0 for a fair one."""
    costs: CostTable | None = None
    """What code costs on it; None for the table of the package."""
    seed: int = 1
    """Seed of the choice of pages; each run combines it with its own number."""

    @property
    def timed(self) -> str:
        """Return what the latencies measure, for a title."""
        pages = "huge pages" if self.huge else "4 KiB pages"
        beside = f"; {self.resident_mb:,} MiB resident in one VMA of {pages}"
        return WORKLOADS[self.workload] + (beside if self.resident_mb else "")


class BenchTarget(Protocol):
    """Where the benchmark runs: the engine, the running kernel, or another."""

    @property
    def name(self) -> str:
        """Its name on the command line."""

    @property
    def readers(self) -> tuple[str, ...]:
        """The readers it offers; `none` comes first, and has busy tasks but no scanner."""

    @property
    def variants(self) -> Mapping[str, tuple[str, ...]]:
        """By reader: other ways to run it than the usual one; mostly empty."""

    @property
    def runs_commands(self) -> bool:
        """Whether it has the reader `exec`, whose variants are commands in the scanners' place."""

    @property
    def in_guest(self) -> bool:
        """Whether it is a machine of its own: its runs are made in a row, then it is closed."""

    @property
    def simulated(self) -> bool:
        """Whether its machine is simulated: its runs have the same results in any process."""

    @property
    def environment(self) -> Environment | None:
        """The guest, once it has booted; None for a target that is not in one."""

    def run(self, reader: str, options: BenchOptions, number: int, variant: str = "") -> Sample:
        """Measure once; number says which of options.nsamples this is, from 0.

        Raises:
            OutOfReachError: This machine, kernel or user cannot do it.
            OSError: A system call failed that should not have.
        """

    def count_locks(self, reader: str, variant: str = "") -> LockCount:
        """Count how often a pass of a reader takes mmap_lock; raises as run()."""

    def close(self) -> None:
        """End what its runs keep for the next one; it may be used again."""
