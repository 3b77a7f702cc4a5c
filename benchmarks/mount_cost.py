"""What a mount of ours costs whoever reads it, and this machine.

    make bench-mount
    python benchmarks/mount_cost.py

Each pair, by /proc and by the mount, is measured in turn in one run; the figures are medians of the
rounds, and of their ratios.
"""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from agents import Mount, exporter, mounted, scrape
from readers import running
from rich.console import Console
from rich.table import Table

PROCESSES, ROUNDS, IDLE = 300, 9, 20.0
OPENINGS, PAUSE = 1000, 0.001
LARGE_GIB = 2
_SMALL = "import json, logging, sys; print(flush=True); sys.stdin.read()"
_LARGE = "import sys; large = b'x' * int(sys.argv[1]); print(flush=True); sys.stdin.read()"
_BOUND = 'mount --rbind "$0" /proc && exec ps aux'
_MS = 1e3


class Pair(NamedTuple):
    """What one thing takes by /proc and by the mount, in ms, and how many times as long."""

    real: float
    ours: float
    ratio: float


def compare(real: Callable[[], object], ours: Callable[[], object]) -> Pair:
    """Do both in turn, and once before they are timed."""
    real(), ours()
    rounds = [(timed(real), timed(ours)) for _ in range(ROUNDS)]
    reals, others = zip(*rounds, strict=True)
    return Pair(median(reals), median(others), median(b / a for a, b in rounds))


def timed(work: Callable[[], object]) -> float:
    """Return how many ms it takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * _MS


def compare_scrapes(mount: Mount) -> Pair:
    """Compare scrapes of all processes."""
    with exporter("/proc", ".") as real, exporter(mount.directory, ".") as ours:
        return compare(lambda: scrape(real), lambda: scrape(ours))


def compare_ps(mount: Mount) -> Pair:
    """Compare `ps aux`, each in a mount namespace of its own."""

    def ps(proc: str) -> None:
        command = ["unshare", "--mount", "sh", "-c", _BOUND, proc]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)

    return compare(lambda: ps("/proc"), lambda: ps(mount.directory))


def opening(path: str) -> list[float]:
    """Return how many ms it took to open and read a small file, time after time."""

    def read() -> None:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        os.read(fd, 4096)
        os.close(fd)

    def after_a_pause() -> float:
        time.sleep(PAUSE)
        return timed(read)

    return [after_a_pause() for _ in range(OPENINGS)]


@contextmanager
def counting(path: str) -> Iterator[list[int]]:
    """Have smaps of a large process counted again and again inside; give how long each was."""
    ended, lengths = threading.Event(), []

    def go_on() -> None:
        while not ended.is_set():
            lengths.append(len(Path(path).read_bytes()))

    reader = threading.Thread(target=go_on)
    reader.start()
    yield lengths
    ended.set()
    reader.join()


def openings() -> dict[str, list[float]]:
    """Measure how long quick files take while nothing is counted, and while something is."""
    # What was seen serves nobody who asks later: so it is counted all the time.
    with running("-c", _LARGE, LARGE_GIB << 30) as pid, mounted("--max-age", "0.001") as mount:
        quick = f"{mount.directory}/{os.getpid()}/stat"
        found = {"nothing": opening(quick)}
        with counting(f"{mount.directory}/{pid}/smaps") as lengths:
            times = opening(quick)
        return found | {f"{LARGE_GIB} GiB, {len(lengths)} times": times}


def idle(mount: Mount) -> float:
    """Return how many ms of CPU time a mount takes that nobody uses."""
    time.sleep(5)  # what was begun ends
    before = mount.cpu()
    time.sleep(IDLE)
    return (mount.cpu() - before) * _MS


def table_of_pairs(pairs: dict[str, Pair]) -> Table:
    """Return what takes how long where."""
    table = Table("", "/proc, ms", "mount, ms", "ratio", title=f"{PROCESSES} processes")
    for name, pair in pairs.items():
        table.add_row(name, f"{pair.real:.1f}", f"{pair.ours:.1f}", f"{pair.ratio:.2f}")
    return table


def table_of_openings(found: dict[str, list[float]]) -> Table:
    """Return what opening and reading a quick file takes."""
    table = Table("counted meanwhile", "p50, ms", "p99, ms", "longest, ms", title="PID/stat")
    for name, times in found.items():
        cuts = quantiles(times, n=100)
        table.add_row(name, f"{cuts[49]:.3f}", f"{cuts[98]:.3f}", f"{max(times):.3f}")
    return table


def main() -> None:
    """Measure, and print tables."""
    console = Console()
    with mounted() as mount:
        with ExitStack() as stack:
            for _ in range(PROCESSES):
                stack.enter_context(running("-c", _SMALL))
            pairs = {"scrape": compare_scrapes(mount), "ps aux": compare_ps(mount)}
        console.print(table_of_pairs(pairs))
        console.print(f"CPU time of an idle mount in {IDLE:g} s: {idle(mount):.0f} ms")
    console.print(table_of_openings(openings()))


if __name__ == "__main__":
    main()
