"""Target `engine`: threads of one process over one MmStruct.

Every run is a process of its own: then a thread that hangs can be ended, and only the run's own
threads compete for the GIL, if there is one.
"""

from collections.abc import Mapping
from types import MappingProxyType

from untorn.bench.engine_run import LOW_SWITCH_INTERVAL, PASSES, map_and_scan
from untorn.bench.here import NORMAL_NICE, Here, await_updates, choose_cpus
from untorn.bench.lock_count import LockCount, map_pages
from untorn.bench.sample import Sample
from untorn.bench.scan import Pass
from untorn.bench.target import BenchOptions
from untorn.errors import OutOfReachError
from untorn.maps.maps_file import MapsFile
from untorn.processes.children import Children, await_ready
from untorn.releases.release import modelled_by_name
from untorn.syscalls import Process

_LOW = (f"switch interval {LOW_SWITCH_INTERVAL * 1e3:g} ms",)


class EngineBenchTarget(Here):
    """The engine, under each of its reader strategies.

    `query` walks by ioctl under vma_lock, `smaps` reads smaps under mmap_lock.
    """

    readers = ("none", *PASSES)
    variants: Mapping[str, tuple[str, ...]] = MappingProxyType(
        dict.fromkeys(("none", "mmap_lock", "vma_lock"), _LOW)
    )
    runs_commands = False

    def __init__(self, release: str = "") -> None:
        """Make the target; its address spaces behave like that release, or like the last one.

        Raises:
            ValueError: The engine does not model it.
        """
        self.name = f"engine:{release}" if release else "engine"
        self._release = modelled_by_name(release)

    def run(self, reader: str, options: BenchOptions, number: int, variant: str = "") -> Sample:
        """Measure once: see BenchTarget."""
        if options.huge:
            raise OutOfReachError("the engine has no huge pages; live and vm:KERNEL have")
        if options.workload != "mmap":
            raise OutOfReachError(f"workload {options.workload} is for live and vm:KERNEL")
        cpus = choose_cpus()
        with Children() as children:
            child = children.add(
                map_and_scan,
                cpus.mapper,
                NORMAL_NICE,
                cpus=cpus,
                release=self._release,
                reader=reader,
                low_switch_interval=variant in _LOW,
                mb=options.mb,
                resident_mb=options.resident_mb,
                duration_ns=round(options.duration * 1e9),
                gap_ns=round(options.gap * 1e3),
                busyduration_ns=round(options.busyduration * 1e6),
                scanners=options.scanners,
                seed=f"{options.seed}-{number}",
            )
            await_ready([child])
            child.start()
            measured, latencies_ns = await_updates(child, options.duration)
        return Sample.from_latencies(
            self.name,
            reader,
            number,
            latencies_ns,
            scans=measured.pop("scans", 0),
            bytes_read=measured.pop("bytes_read", 0),
            hung=not len(latencies_ns),
            variant=variant,
            own_cost_ns=measured.pop("own_cost_ns", None),
            counters=measured,
        )

    def count_locks(self, reader: str, variant: str = "") -> LockCount:
        """Count by the lock's own statistics: see BenchTarget."""
        process = Process(release=self._release)
        name, locking, one_pass = PASSES[reader]
        counts = count_pass(process, process.open(name, locking), one_pass)
        return LockCount(self.name, reader, variant, *counts)


def count_pass(process: Process, file: MapsFile, one_pass: Pass[MapsFile]) -> tuple[int, int]:
    """Return the calls and the acquisitions of mmap_lock of a pass over a process with VMAS."""
    map_pages(process, lambda: process.mm.map_count)
    with file:
        before = process.mm.mmap_lock.statistics().reads
        calls = sum(1 for _ in one_pass(file))
        return calls, process.mm.mmap_lock.statistics().reads - before
