"""Target `live`: real processes on the running kernel.

One mapper has a CPU to itself; scanners of low priority and busy tasks of normal priority share
another. All are set up before any begins.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType

from untorn.bench.command import EXEC, fill_in, needs_mount, run_command
from untorn.bench.here import NORMAL_NICE, SCANNER_NICE, Cpus, Here, await_updates, choose_cpus
from untorn.bench.live_locks import count_locks
from untorn.bench.live_mapper import be_mapper
from untorn.bench.live_mount import mounted
from untorn.bench.live_scanner import be_busy, read_maps
from untorn.bench.lock_count import LockCount
from untorn.bench.sample import Sample
from untorn.bench.target import BenchOptions
from untorn.errors import OutOfReachError
from untorn.processes.children import (
    START_TIMEOUT,
    STOP_TIMEOUT,
    Child,
    Children,
    await_ready,
)

SECONDS_PER_MB = 1 / 128
"""Extra seconds per MiB of resident memory: it is populated, and walked at low priority."""


class LiveBenchTarget(Here):
    """The running kernel.

    `gentle` reads maps gently whether this kernel needs it or not; its variant reads smaps.
    `clear_refs` writes to that file, which changes the mapper: a process of our own.
    """

    name = "live"
    readers = (
        "none",
        "maps",
        "smaps",
        "smaps_rollup",
        "query",
        "gentle",
        "memory",
        "psutil",
        "clear_refs",
    )
    variants: Mapping[str, tuple[str, ...]] = MappingProxyType({"gentle": ("smaps",)})
    runs_commands = True

    def run(self, reader: str, options: BenchOptions, number: int, variant: str = "") -> Sample:
        """Measure once: see BenchTarget."""
        cpus = choose_cpus()
        with Children() as children:
            mapper = add_mapper(children, cpus, options, number)
            return measure_once(mapper, cpus, reader, options, number, variant)

    def count_locks(self, reader: str, variant: str = "") -> LockCount:
        """Count by tracing, in a process that is the reader: see BenchTarget."""
        if reader == EXEC:
            raise OutOfReachError("the locks that a command takes are not counted")
        counted = count_locks(choose_cpus(), f"{reader} {variant}".rstrip())
        return LockCount(self.name, reader, variant, **counted)


def add_mapper(children: Children, cpus: Cpus, options: BenchOptions, number: int = 0) -> Child:
    """Start a mapper; return when it is set up, before anything reads its map."""
    mapper = children.add(
        be_mapper,
        cpus.mapper,
        NORMAL_NICE,
        workload=options.workload,
        mb=options.mb,
        resident_mb=options.resident_mb,
        huge=options.huge,
        duration_ns=round(options.duration * 1e9),
        gap_ns=round(options.gap * 1e3),
        seed=f"{options.seed}-{number}",
    )
    mapper.receive(START_TIMEOUT + _patience(options))
    return mapper


def measure_once(
    mapper: Child,
    cpus: Cpus,
    reader: str,
    options: BenchOptions,
    number: int,
    variant: str = "",
) -> Sample:
    """Measure a mapper beside scanners; it may be measured again if it did not hang."""
    with _mount_for(reader, variant, cpus) as mount, Children() as children:
        scanners = [
            _add_scanner(children, cpus.scanners, reader, variant, mapper.pid, mount)
            for _ in range(options.scanners if reader != "none" else 0)
        ]
        busy = _add_busy(children, cpus, options)
        await_ready((*scanners, *busy))
        for child in (*scanners, *busy, mapper):
            child.start()
        measured, latencies_ns = await_updates(mapper, options.duration + _patience(options))
        counts = _stop(scanners, busy, STOP_TIMEOUT + _patience(options))
    own_cost_ns = measured.pop("own_cost_ns", None)
    return Sample.from_latencies(
        LiveBenchTarget.name,
        reader,
        number,
        latencies_ns,
        scans=counts.pop("scans", 0),
        bytes_read=counts.pop("bytes_read", 0),
        hung=not len(latencies_ns),
        variant=variant,
        own_cost_ns=own_cost_ns,
        counters=measured | counts,
    )


def _mount_for(reader: str, variant: str, cpus: Cpus) -> AbstractContextManager[str]:
    """Serve a mount of ours on the scanners' CPU, if the reader takes one."""
    if reader == EXEC and needs_mount(variant):
        return mounted(cpus.scanners)
    return nullcontext("")


def _add_scanner(
    children: Children, cpu: int, reader: str, variant: str, pid: int, mount: str
) -> Child:
    if reader == EXEC:
        command = fill_in(variant, pid, mount)
        return children.add(run_command, cpu, SCANNER_NICE, patience=STOP_TIMEOUT, command=command)
    how = f"{reader} {variant}".rstrip()
    return children.add(read_maps, cpu, SCANNER_NICE, pid=pid, reader=how)


def _add_busy(children: Children, cpus: Cpus, options: BenchOptions) -> list[Child]:
    busy_ns = round(options.busyduration * 1e6)
    return [
        children.add(be_busy, cpus.scanners, NORMAL_NICE, busyduration_ns=busy_ns)
        for _ in range(options.scanners)
    ]


def _patience(options: BenchOptions) -> float:
    return options.resident_mb * SECONDS_PER_MB


def _stop(scanners: list[Child], busy: list[Child], timeout: float) -> dict[str, int]:
    """Stop the children, busy tasks first; return the sums of the scanners' counts."""
    for child in (*busy, *scanners):
        child.stop()
    counts: Counter[str] = Counter()
    for scanner in scanners:
        counts.update(scanner.receive(timeout))
    return dict(counts)
