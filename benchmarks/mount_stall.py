"""How long an agent stalls a process with much memory, reading /proc or a mount of ours.

    make bench-mount
    python benchmarks/mount_stall.py [MiB]

prometheus-process-exporter is scraped all the time, and reads smaps_rollup each time. Both ways
take turns at the same process. Each scrape through the mount takes a new look: a result expires
after a millisecond. The memory that both report is compared, too.
"""

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from statistics import median
from typing import NamedTuple

from agents import exporter, mounted, scrape
from rich.console import Console
from rich.table import Table

from untorn.bench.here import await_updates, choose_cpus
from untorn.bench.live import add_mapper
from untorn.bench.target import BenchOptions
from untorn.processes.children import Child, Children

MIB = 8192
OPTIONS = BenchOptions(nsamples=9, duration=0.7, mb=8, gap=100, resident_mb=MIB)
"""After that time the kernel stops a real-time thread for others."""
MAPPER = "live_mapper:be_mapper"
NS_PER_MS = 1e6
_PSS = re.compile(r'^namedprocess_namegroup_memory_bytes\{.*"proportionalResident"\} (\S+)$', re.M)


class Run(NamedTuple):
    """The result of a run."""

    longest_ms: float
    """The longest of the mapper's calls."""
    scrapes: int


def pss(url: str) -> float:
    """Return the proportional memory of the mapper in bytes, as exported."""
    found = _PSS.search(scrape(url))
    assert found, "the exporter does not tell of the mapper"
    return float(found[1])


@contextmanager
def scraping(url: str) -> Iterator[list[str]]:
    """Scrape all the time in the block, unless the address is empty; yield the results."""
    answers: list[str] = []
    ended = threading.Event()

    def go_on() -> None:
        while not ended.is_set():
            answers.append(scrape(url))

    scraper = threading.Thread(target=go_on)
    if url:
        scraper.start()
    yield answers
    ended.set()
    if url:
        scraper.join()


def measure_once(mapper: Child, url: str, duration: float) -> Run:
    """Measure the calls of the mapper while an exporter is scraped."""
    with scraping(url) as answers:
        mapper.start()
        _, latencies = await_updates(mapper, duration)
    return Run(max(latencies) / NS_PER_MS, len(answers))


def measure(options: BenchOptions) -> tuple[dict[str, list[Run]], dict[str, float]]:
    """Return the runs by what the agent reads, and the proportional memory that it exports."""
    with ExitStack() as stack:
        mapper = add_mapper(stack.enter_context(Children()), choose_cpus(), options)
        mount = stack.enter_context(mounted("--max-age", "0.001"))
        places = {"/proc": "/proc", "mount": mount.directory}
        urls = {name: stack.enter_context(exporter(at, MAPPER)) for name, at in places.items()}
        exported = {name: pss(url) for name, url in urls.items()}
        with suppress(PermissionError):  # see memory_stall.py
            os.sched_setscheduler(mapper.pid, os.SCHED_FIFO, os.sched_param(1))
        urls = {"nobody": ""} | urls
        runs: dict[str, list[Run]] = {name: [] for name in urls}
        for _ in range(options.nsamples):
            for name, url in urls.items():
                runs[name].append(measure_once(mapper, url, options.duration))
    return runs, exported


def main() -> None:
    """Measure, and print a table."""
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else MIB
    options = replace(OPTIONS, resident_mb=mib)
    measured, exported = measure(options)
    table = Table("agent at", title=f"longest of {options.timed}")
    for column in "median, ms", "longest, ms", "scrapes", "proportional, bytes":
        table.add_column(column, justify="right")
    for name, runs in measured.items():
        longest = [run.longest_ms for run in runs]
        scrapes = sum(run.scrapes for run in runs)
        memory = f"{exported[name]:,.0f}" if name in exported else ""
        table.add_row(name, f"{median(longest):.3f}", f"{max(longest):.3f}", f"{scrapes}", memory)
    Console().print(table)


if __name__ == "__main__":
    main()
