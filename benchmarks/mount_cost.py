"""What a mount of ours costs its clients, and this machine.

    make bench-mount
    python benchmarks/mount_cost.py

/proc and the mount take turns in one run; the figures are medians of the rounds, and of their
ratios.
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
    """How long one task takes on /proc and on the mount, in ms, and the ratio."""

    real: float
    ours: float
    ratio: float


def compare(real: Callable[[], object], ours: Callable[[], object]) -> Pair:
    """Time both in turn, after doing each once."""
    real(), ours()
    rounds = [(timed(real), timed(ours)) for _ in range(ROUNDS)]
    reals, others = zip(*rounds, strict=True)
    return Pair(median(reals), median(others), median(b / a for a, b in rounds))


def timed(work: Callable[[], object]) -> float:
    """Return how many ms a call takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * _MS


def compare_scrapes(mount: Mount) -> Pair:
    """Compare scrapes of all processes."""
    with exporter("/proc", ".") as real, exporter(mount.directory, ".") as ours:
        return compare(lambda: scrape(real), lambda: scrape(ours))


def compare_ps(mount: Mount) -> Pair:
    """Compare `ps aux` in mount namespaces of their own."""

    def ps(proc: str) -> None:
        command = ["unshare", "--mount", "sh", "-c", _BOUND, proc]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)

    return compare(lambda: ps("/proc"), lambda: ps(mount.directory))


def opening(path: str) -> list[float]:
    """Return how many ms each of many opens and reads of a small file took."""

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
    """Let smaps of a large process be read again and again in the block; yield the times."""
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
    """Measure how long small files take with and without a long count under way."""
    # No result is kept for later readers: so a count is always under way.
    with running("-c", _LARGE, LARGE_GIB << 30) as pid, mounted("--max-age", "0.001") as mount:
        quick = f"{mount.directory}/{os.getpid()}/stat"
        found = {"nothing": opening(quick)}
        with counting(f"{mount.directory}/{pid}/smaps") as lengths:
            times = opening(quick)
        return found | {f"{LARGE_GIB} GiB, {len(lengths)} times": times}


def idle(mount: Mount) -> float:
    """Return how many ms of CPU time an unused mount takes."""
    time.sleep(5)  # let looks under way end
    before = mount.cpu()
    time.sleep(IDLE)
    return (mount.cpu() - before) * _MS


def table_of_pairs(pairs: dict[str, Pair]) -> Table:
    """Return the table of times."""
    table = Table("", "/proc, ms", "mount, ms", "ratio", title=f"{PROCESSES} processes")
    for name, pair in pairs.items():
        table.add_row(name, f"{pair.real:.1f}", f"{pair.ours:.1f}", f"{pair.ratio:.2f}")
    return table


def table_of_openings(found: dict[str, list[float]]) -> Table:
    """Return the table of times to open and read a small file."""
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
