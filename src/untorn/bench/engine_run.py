"""One run of target `engine`: a mapper, scanners and busy tasks, threads over one MmStruct."""

import gc
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from untorn.bench.here import NORMAL_NICE, SCANNER_NICE, Cpus
from untorn.bench.mapper import (
    Call,
    Calls,
    choose_updates,
    measure_own_cost,
    send_latencies,
    settle,
    time_calls,
)
from untorn.bench.resident import make_resident
from untorn.bench.scan import Pass, read_text, scan_until_stopped, spin_and_pause, walk_by_ioctl
from untorn.fs.proc.files import PROC_FILES
from untorn.fs.proc.vma_file import ProcVmaFile
from untorn.maps.maps_file import MapsFile
from untorn.maps.page import PAGE_SIZE
from untorn.mm.limits import Limits
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_POPULATE,
    MAP_PRIVATE,
    PROT_WRITE,
)
from untorn.processes.child import wait_for_start
from untorn.processes.placement import place
from untorn.syscalls import Process

LOW_SWITCH_INTERVAL = 1e-4
"""Seconds after which a waiting thread asks for the GIL; the default is 50 times that."""
PASSES: dict[str, tuple[str, str, Pass[MapsFile]]] = {
    **{locking: ("maps", locking, read_text) for locking in PROC_FILES["maps"].lockings},
    "query": ("maps", "vma_lock", walk_by_ioctl),
    "smaps": ("smaps", "mmap_lock", read_text),
}
"""By reader: the file, the strategy, and how the reader makes a pass."""
_ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE


class EnginePage:
    """Where the mapper's calls find the address to act on."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Threads:
    """The threads of a run: they are set up and placed first, then all start together.

    Attributes:
        requested: The end was requested; stored by the main thread, loaded by all.
    """

    def __init__(self) -> None:
        self.requested = False
        self._go = threading.Event()
        self._failures: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def add(self, work: Callable[[], None], cpu: int, nice: int) -> threading.Thread:
        """Start a thread that places itself and then waits until all begin."""
        placed = threading.Event()

        def run() -> None:
            try:
                try:
                    place(threading.get_native_id(), cpu, nice)
                finally:
                    placed.set()
                self._go.wait()
                work()
            except BaseException as error:
                self._failures.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        placed.wait()
        self._threads.append(thread)
        return thread

    def go(self) -> None:
        """Let all begin."""
        self._go.set()

    def stop(self) -> None:
        """Ask all to end, wait until they have, and raise the error of one that failed."""
        self.requested = True
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]


def map_region(process: Process, size: int) -> int:
    """Map a region of size bytes with the updates' protection, so that new pages merge."""
    process.mm.limits = Limits(max_map_count=1 << 30)
    return process.mmap(0, size, PROT_WRITE, _ANONYMOUS)


def prepare_calls(process: Process) -> Calls:
    """Return the mapper's calls, made in the engine."""
    page, flags = EnginePage(), _ANONYMOUS | MAP_FIXED
    mmap, munmap = process.mmap, process.munmap

    def unmap(page: EnginePage) -> int:
        munmap(page.value, PAGE_SIZE)
        return 0

    def map_(page: EnginePage) -> int:
        return mmap(page.value, PAGE_SIZE, PROT_WRITE, flags)

    return Calls(
        page,
        unmap=Call("unmapping", unmap, (page,), returns=0),
        map=Call("mapping", map_, (page,), returns=None),
        idle=Call("nothing", lambda page: page.value, (page,), returns=None),
    )


class Scanners:
    """What the scanners of a run did; _mutex protects the counts."""

    def __init__(self, process: Process, reader: str, threads: Threads) -> None:
        self._process = process
        self._file, self._locking, self._pass = PASSES[reader]
        self._threads = threads
        self._mutex = threading.Lock()
        self.counts: Counter[str] = Counter()

    def work(self) -> None:
        """Scan until the end is requested."""
        file = self._process.open(self._file, self._locking)
        scans, bytes_read = scan_until_stopped(file, self._pass, self._threads)
        with self._mutex:
            self.counts.update(scans=scans, bytes_read=bytes_read, **_met(file))


def _met(file: ProcVmaFile) -> dict[str, int]:
    return {name: count for name, count in file.statistics().items() if count}


def map_and_scan(
    cpus: tuple[int, int],
    release: tuple[int, int],
    reader: str,
    low_switch_interval: bool,
    mb: int,
    resident_mb: int,
    duration_ns: int,
    gap_ns: int,
    busyduration_ns: int,
    scanners: int,
    seed: str,
) -> None:
    """Set up, wait for the word, measure, send the counts and the latencies."""
    run_on, threads = Cpus(*cpus), Threads()
    if low_switch_interval:
        sys.setswitchinterval(LOW_SWITCH_INTERVAL)
    process, size = Process(release=release), mb << 20
    if resident_mb:
        make_resident(process, resident_mb << 20)
    base = map_region(process, size)
    calls = prepare_calls(process)
    gc.disable()
    own_cost_ns = measure_own_cost(calls, base)
    updates = choose_updates(calls, range(base, base + size), seed)
    settle(calls.page, updates, size // PAGE_SIZE)
    latencies: list[Any] = []
    mapper = threads.add(
        lambda: latencies.append(time_calls(calls.page, updates, duration_ns, gap_ns)),
        run_on.mapper,
        NORMAL_NICE,
    )
    readers = Scanners(process, reader, threads) if reader != "none" else None
    for _ in range(scanners):
        if readers is not None:
            threads.add(readers.work, run_on.scanners, SCANNER_NICE)
        threads.add(lambda: spin_and_pause(busyduration_ns, threads), run_on.scanners, NORMAL_NICE)
    wait_for_start()
    threads.go()
    mapper.join()
    threads.stop()
    waited = process.mm.mmap_lock.statistics().writes_waited
    send_latencies(
        latencies[0],
        own_cost_ns=own_cost_ns,
        blocked=waited,
        **(readers.counts if readers else {}),
    )
