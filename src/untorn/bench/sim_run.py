"""One run of target `sim`: a mapper, scanners and busy tasks on a simulated machine.

They do what those of target `engine` do, with the engine's own code, in virtual time. The mapper
has CPU 0 to itself; scanners and busy tasks share the other CPUs.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from random import Random

from untorn.bench.mapper import Calls, Choice, make_call
from untorn.bench.scan import PAUSE, Pass, read_text, scan_until_stopped, walk_by_ioctl
from untorn.bench.sim_setup import set_up
from untorn.bench.target import BenchOptions
from untorn.fs.proc.files import PROC_FILES
from untorn.fs.proc.vma_file import ProcVmaFile
from untorn.maps.maps_file import MapsFile
from untorn.processes.endings import raise_ending
from untorn.reader.access.pace import Pace
from untorn.releases.release import Release
from untorn.sim.costs import Costs
from untorn.sim.simulation import Simulation, simulating
from untorn.syscalls import Process

GENTLE = "gentle"
LOWEST_FIFO = 1


@dataclass(frozen=True, slots=True)
class Reader:
    """How a scanner reads.

    Attributes:
        file: What it opens.
        locking: The strategy; empty for that of the release.
        one_pass: How it makes a pass over the file.
        user_ns: Time in its own program from one call to the next.
    """

    file: str
    locking: str
    one_pass: Pass[MapsFile] = read_text
    user_ns: Callable[[Costs], float] = attrgetter("user_read")

    def open(self, process: Process) -> ProcVmaFile:
        """Open the file of a process."""
        locking = self.locking or PROC_FILES[self.file].locking_of(process.mm.release)
        return process.open(self.file, locking)


READERS = {
    "maps": Reader("maps", ""),
    **{locking: Reader("maps", locking) for locking in PROC_FILES["maps"].lockings},
    "query": Reader("maps", "", walk_by_ioctl, attrgetter("user_query")),
    "smaps": Reader("smaps", ""),
    GENTLE: Reader("maps", "mmap_lock"),
}
"""By name; `gentle` reads under mmap_lock, for which it is meant."""


@dataclass(slots=True)
class SimRun:
    """What the jobs of a run share.

    Attributes:
        requested: The end was requested.
        latencies_ns: The times of the mapper's calls.
        counts: Everything else that was counted.
    """

    simulation: Simulation
    options: BenchOptions
    requested: bool = False
    latencies_ns: "array[int]" = field(default_factory=lambda: array("q"))
    counts: Counter[str] = field(default_factory=Counter)

    def map_pages(self, calls: Calls, updates: Iterator[Choice]) -> None:
        """Make timed calls, each a gap after the end of the one before; then request the end.

        Raises KeyboardInterrupt as raise_ending().
        """
        simulation, gap_ns = self.simulation, round(self.options.gap * 1e3)
        end = simulation.now + round(self.options.virtual_duration * 1e9)
        while simulation.now < end:
            raise_ending()
            begin = simulation.now
            make_call(calls.page, next(updates))
            self.latencies_ns.append(simulation.now - begin)
            simulation.spin_until(simulation.now + gap_ns)
        self.requested = True

    def scan(self, file: ProcVmaFile, one_pass: Pass[MapsFile], user_ns: float) -> None:
        """Make passes over the map until the end is requested."""
        one_pass = partial(self._with_user_time, one_pass, user_ns)
        scans, bytes_read = scan_until_stopped(file, one_pass, self)
        self.counts.update(scans=scans, bytes_read=bytes_read, **file.statistics())

    def be_busy(self) -> None:
        """Spin and pause until the end is requested."""
        while not self.requested:
            end = self.simulation.now + round(self.options.busyduration * 1e6)
            self.simulation.spin_until(end)
            self.simulation.sleep_for(round(PAUSE * 1e9))

    def gentle_pass(self) -> Pass[MapsFile]:
        """Return how one thread reads gently: raised while it holds a lock, and paced."""
        simulation = self.simulation
        pace = Pace(
            clock=lambda: simulation.now,
            cpu_clock=simulation.cpu_time,
            sleep=lambda seconds: simulation.sleep_for(round(seconds * 1e9)),
        )

        def one_pass(file: MapsFile) -> Iterator[int]:
            fills = file.fills()
            while data := pace.spend(partial(self._raised, lambda: next(fills, b""))):
                yield len(data)

        return one_pass

    def _raised(self, function: Callable[[], bytes]) -> bytes:
        self.simulation.set_fifo(LOWEST_FIFO)
        data = function()
        self.simulation.set_fifo(0)
        return data

    def _with_user_time(
        self, one_pass: Pass[MapsFile], user_ns: float, file: MapsFile
    ) -> Iterator[int]:
        for size in one_pass(file):
            self.simulation.burn(user_ns)
            yield size


def simulate(
    release: Release,
    reader: str,
    options: BenchOptions,
    seed: str,
    costs: Costs,
    watching: Callable[[Simulation], AbstractContextManager[object]] = nullcontext,
) -> SimRun:
    """Set up, which takes no virtual time, and run; return the latencies and counts."""
    simulated = simulating(options.cpus, costs, options.preemption, in_turns=options.virtual_time)
    with simulated as simulation, watching(simulation):
        run = SimRun(simulation, options)
        process, calls, updates = set_up(release, options.mb, options.resident_mb, seed)
        simulation.add(
            "mapper",
            partial(run.map_pages, calls, updates),
            cpus=(0,),
            fifo=options.mapper_fifo,
        )
        _add_scanners(run, process, reader, Random(seed))
        simulation.run()
        run.counts["blocked"] = process.mm.mmap_lock.statistics().writes_waited
    return run


def _add_scanners(run: SimRun, process: Process, reader: str, chance: Random) -> None:
    """Add the scanners and as many busy tasks.

    They have been running for a while: each is somewhere in its slice. If all began a slice at
    once, many scanners on few CPUs would not run for seconds.
    """
    options, add = run.options, run.simulation.add
    cpus = range(1, options.cpus) or range(1)
    for number in range(options.scanners):
        if reader in READERS:
            how = READERS[reader]
            one_pass = run.gentle_pass() if reader == GENTLE else how.one_pass
            user_ns = how.user_ns(run.simulation.costs)
            job = partial(run.scan, how.open(process), one_pass, user_ns)
            add(f"scanner {number}", job, cpus=cpus, nice=options.nice, had=chance.random())
        add(f"busy task {number}", run.be_busy, cpus=cpus, had=chance.random())
