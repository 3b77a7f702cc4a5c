"""Target `sim`: the engine on a simulated machine, in virtual time; the same figures everywhere."""

from collections.abc import Mapping
from types import MappingProxyType

from untorn.bench.engine import count_pass
from untorn.bench.environment import Environment
from untorn.bench.lock_count import LockCount
from untorn.bench.sample import Sample
from untorn.bench.sim_run import READERS, simulate
from untorn.bench.target import BenchOptions
from untorn.errors import OutOfReachError
from untorn.releases.release import modelled_by_name
from untorn.sim.costs import CostTable
from untorn.syscalls import Process


class SimBenchTarget:
    """A simulated machine; its processes behave like a release of Linux.

    `maps`, `query` and `smaps` read as that release does, the others with the locking they are
    named after; `gentle` reads maps gently under mmap_lock.
    """

    readers = ("none", *READERS)
    variants: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    runs_commands = False
    in_guest = False
    simulated = True

    def __init__(self, release: str = "") -> None:
        """Make the target; its address spaces behave like that release, or like the last one.

        Raises:
            ValueError: The engine does not model it.
        """
        self.name = f"sim:{release}" if release else "sim"
        self._release = modelled_by_name(release)
        self.environment: Environment | None = None

    def run(self, reader: str, options: BenchOptions, number: int, variant: str = "") -> Sample:
        """Simulate once: see BenchTarget."""
        if options.huge:
            raise OutOfReachError("the engine has no huge pages; live and vm:KERNEL have")
        if options.workload != "mmap":
            raise OutOfReachError(f"workload {options.workload} is for live and vm:KERNEL")
        table = options.costs or CostTable.load()
        self.environment = _environment(table, options)
        seed = f"{options.seed}-{number}"
        run = simulate(self._release, reader, options, seed, table.costs)
        return Sample.from_latencies(
            self.name,
            reader,
            number,
            run.latencies_ns,
            scans=run.counts.pop("scans", 0),
            bytes_read=run.counts.pop("bytes_read", 0),
            counters={name: count for name, count in run.counts.items() if count},
        )

    def count_locks(self, reader: str, variant: str = "") -> LockCount:
        """Count by the lock's own statistics: see BenchTarget."""
        process, how = Process(release=self._release), READERS[reader]
        counts = count_pass(process, how.open(process), how.one_pass)
        return LockCount(self.name, reader, variant, *counts)

    def close(self) -> None:
        """Do nothing: a run leaves nothing behind."""


def _environment(table: CostTable, options: BenchOptions) -> Environment:
    """Describe the simulated machine: the real one has no part in what it does."""
    return Environment(
        kernel=table.kernel,
        kernel_build="",
        preemption=options.preemption,
        machine=table.cpu,
        cpus=tuple(range(options.cpus)),
        python="",
        gil=False,
        switch_interval_ms=0,
        load=(0, 0, 0),
        date="",
        guest_of="simulated",
        simulated=True,
    )
