"""How long each reader stalls a process, by its resident memory in one VMA.

    make bench-stall
    python benchmarks/memory_stall.py TARGET...    live, or vm:KERNEL, which is slow
    python benchmarks/memory_stall.py --draw FILE.json...

On each target all readers take turns at the same process (a guest starts one for each run). A
figure is the median over the runs of the longest call. Writes memory-stall-TARGET.json, and draws
memory-stall.svg.
"""

import argparse
import json
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from untorn.bench.environment import Environment
from untorn.bench.here import choose_cpus
from untorn.bench.live import add_mapper, measure_once
from untorn.bench.plots.labels import label_end, settle_labels
from untorn.bench.plots.style import COLOURS, frame
from untorn.bench.sample import Sample
from untorn.bench.target import WORKLOADS, BenchOptions, BenchTarget
from untorn.errors import OutOfReachError
from untorn.processes.children import Children
from untorn.targets import bench_target

READERS = ("none", "smaps", "smaps_rollup", "clear_refs", "memory")
LIVE = BenchOptions(nsamples=5, duration=0.7, scanners=1, mb=8, gap=100)
LIVE_MB = ((8192, False), (4096, False), (2048, False), (1024, False), (8192, True))
"""Resident memory, and whether it is in huge pages."""
GUEST = replace(LIVE, nsamples=3, duration=2, gap=1500, busyduration=5, virtual_time=True)
GUEST_MB = ((512, False),)
NAMES = {"memory": "untorn memory"}
Figures = dict[str, Any]
"""Options and samples of one workload and one amount of memory, as in JSON."""


def measure_live(options: BenchOptions) -> Iterator[Sample]:
    """Measure one process on this kernel, readers taking turns.

    It is real-time if this user may do that: a call that had to sleep then continues when the lock
    is free, not only when other work leaves the CPU.
    """
    cpus = choose_cpus()
    with Children() as children:
        mapper = add_mapper(children, cpus, options)
        with suppress(PermissionError):
            os.sched_setscheduler(mapper.pid, os.SCHED_FIFO, os.sched_param(1))
        for number in range(options.nsamples):
            for reader in READERS:
                yield (sample := measure_once(mapper, cpus, reader, options, number))
                if sample.hung:
                    return


def measure_guest(target: BenchTarget, options: BenchOptions) -> Iterator[Sample]:
    """Measure a process for each run, readers taking turns."""
    for number in range(options.nsamples):
        for reader in READERS:
            yield target.run(reader, options, number)


def measure(name: str, console: Console) -> Path:
    """Measure a target; return the file that has the figures."""
    target = bench_target(name, console.print)
    usual, amounts = (GUEST, GUEST_MB) if target.in_guest else (LIVE, LIVE_MB)
    file = Path(f"memory-stall-{name.replace(':', '-')}.json")
    configurations: list[Figures] = []
    for workload, (resident_mb, huge) in product(WORKLOADS, amounts):
        options = replace(usual, workload=workload, resident_mb=resident_mb, huge=huge)
        runs = measure_guest(target, options) if target.in_guest else measure_live(options)
        try:
            samples = [each.as_json() for each in runs]
        except OutOfReachError as error:
            console.print(f"{name}, {resident_mb} MiB{' in huge pages' * huge}: {error}")
            continue
        figures = {"options": asdict(options), "samples": samples}
        configurations.append(figures)
        console.print(table(name, figures))
        where = asdict(target.environment or Environment.here())
        content = {"target": name, "environment": where, "configurations": configurations}
        file.write_text(json.dumps(content, indent=1))
    target.close()
    return file


def longest(figures: Figures) -> dict[str, float]:
    """Return the median over the runs of the longest call, in ms, by reader."""
    found: dict[str, list[float]] = {}
    for sample in figures["samples"]:
        found.setdefault(sample["reader"], []).append(sample["max_ms"] or math.inf)
    return {reader: median(maxima) for reader, maxima in found.items()}


def table(name: str, figures: Figures) -> Table:
    """Return the longest calls, each also as a multiple of the one with untorn.memory."""
    options, maxima = BenchOptions(**figures["options"]), longest(figures)
    result = Table("reader", title=f"{name}: longest of {options.timed}")
    for column in "ms", "x memory":
        result.add_column(column, justify="right")
    memory = maxima.get("memory", math.nan)  # a hung run has none
    for reader, value in maxima.items():
        result.add_row(reader, f"{value:.3f}", f"{value / memory:.1f}")
    return result


def draw(files: list[Path]) -> None:
    """Draw a row of panels per workload, with a panel per target."""
    targets = [json.loads(file.read_text()) for file in files]
    figure = Figure(figsize=(1 + 4.2 * len(targets), 7.5), layout="constrained")
    rows = figure.subplots(len(WORKLOADS), len(targets), sharey=True, squeeze=False)
    for row, (workload, calls) in zip(rows, WORKLOADS.items(), strict=True):
        for axes, target in zip(row, targets, strict=True):
            draw_panel(axes, [each for each in target["configurations"] if is_of(each, workload)])
            axes.set_title(f"Linux {target['environment']['kernel']}\n{calls}", fontsize=10)
        row[0].set_ylabel("longest call, ms (median of the runs)")
    settle_labels(figure, rows.ravel())
    figure.savefig("memory-stall.svg")


def is_of(figures: Figures, workload: str) -> bool:
    """Return whether figures are of a workload, and of small pages."""
    options = figures["options"]
    return bool(options["workload"] == workload and not options["huge"])


def draw_panel(axes: Axes, configurations: list[Figures]) -> None:
    """Draw a line for each reader that was measured, with its name at the end."""
    if not configurations:
        return
    sizes = [each["options"]["resident_mb"] / 1024 for each in configurations]
    maxima = {
        reader: [longest(each).get(reader, math.nan) for each in configurations]
        for reader in READERS
    }
    largest = sizes.index(max(sizes))
    for reader in READERS:
        axes.plot(sizes, maxima[reader], "o-", color=COLOURS[reader], markersize=4)
        end, name = (sizes[largest], maxima[reader][largest]), NAMES.get(reader, reader)
        if math.isfinite(end[1]):
            label_end(axes, end, name, COLOURS[reader], "right")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.set_xlim(min(sizes) / 1.3, max(sizes) * 1.3)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("GiB resident in one VMA of 4 KiB pages")
    frame(axes)


def main() -> None:
    """Measure the targets, or take figures from files; draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=["live"], metavar="TARGET|FILE")
    parser.add_argument("--draw", action="store_true", help="draw what is in files")
    arguments = parser.parse_args()
    console = Console()
    if arguments.draw:
        draw([Path(name) for name in arguments.names])
    else:
        draw([measure(name, console) for name in arguments.names])


if __name__ == "__main__":
    main()
