"""Who held what while the mapper waited: one stall under mmap_lock, the same moment under vma_lock.

    make sim-timeline

Simulated, so it is the same everywhere. Draws sim-timeline.svg.
"""

from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from untorn.bench.plots.style import LARGE, SMALL, USUAL, WIDTH
from untorn.bench.sim_run import simulate
from untorn.bench.target import BenchOptions
from untorn.releases.release import modelled_by_name
from untorn.sim.costs import CostTable
from untorn.sim.timeline import Span, Timeline

OPTIONS = BenchOptions(virtual_duration=0.1, scanners=1, mb=32)
READERS = "mmap_lock", "vma_lock"
COLOURS = {"mapper": "#0072b2", "scanner 0": "#d55e00", "busy task 0": "#bbbbbb"}
WAIT: dict[str, Any] = {
    "facecolor": "white",
    "edgecolor": "#0072b2",
    "hatch": "////",
    "linewidth": 0.8,
}
"""How a wait of the mapper is drawn."""
ROWS = "mmap_lock is held", "CPU 1 runs", "CPU 0 runs"
"""From the bottom up."""
MARGIN = 0.4
"""Time shown before and after the wait, in lengths of the wait."""


def watch(reader: str) -> Timeline:
    """Simulate a reader."""
    timeline, costs = Timeline(), CostTable.load().costs
    simulate(modelled_by_name(""), reader, OPTIONS, "timeline", costs, timeline.watching)
    return timeline


def waits(timeline: Timeline) -> list[Span]:
    """Return when the mapper slept: it has CPU 0 to itself, and sleeps only to wait."""
    runs = timeline.runs[0]
    ends, starts = [run.end for run in runs[:-1]], [run.start for run in runs[1:]]
    return [Span(end, start, "mapper") for end, start in zip(ends, starts, strict=True)]


def around(wait: Span) -> Span:
    """Return the span to show: a wait and the time around it."""
    margin = round(MARGIN * (wait.end - wait.start))
    return Span(max(wait.start - margin, 0), wait.end + margin, wait.thread)


def bars(axes: Axes, row: int, spans: list[Span], shown: Span, **how: Any) -> None:
    """Draw the parts of spans that are in view, in ms from the left."""
    for span in spans:
        start, end = max(span.start, shown.start), min(span.end, shown.end)
        if start < end:
            place = ((start - shown.start) / 1e6, (end - start) / 1e6)
            colour: dict[str, Any] = how or {"facecolor": COLOURS[span.thread], "linewidth": 0}
            axes.broken_barh([place], (row - 0.3, 0.6), **colour)


def panel(axes: Axes, timeline: Timeline, shown: Span) -> None:
    """Draw a timeline."""
    bars(axes, 0, [*timeline.reads, *timeline.writes], shown)
    for cpu, spans in timeline.runs.items():
        bars(axes, 2 - cpu, spans, shown)
    bars(axes, 2, waits(timeline), shown, **WAIT)
    axes.set_xlim(0, (shown.end - shown.start) / 1e6)
    axes.set_yticks(range(len(ROWS)), ROWS)
    axes.tick_params(labelsize=USUAL, left=False)
    axes.spines[["top", "right", "left"]].set_visible(False)


def main() -> None:
    """Simulate, find the longest wait, draw."""
    rcParams["svg.hashsalt"] = "sim-timeline"
    timelines = [watch(reader) for reader in READERS]
    shown = around(max(waits(timelines[0]), key=lambda wait: wait.end - wait.start))
    middle = (shown.end - shown.start) / 2e6
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    panels = figure.subplots(len(READERS), sharex=True)
    for axes, reader, timeline in zip(panels, READERS, timelines, strict=True):
        panel(axes, timeline, shown)
        axes.set_title(f"the scanner reads under {reader}", fontsize=LARGE, loc="left")
    told = {"ha": "center", "va": "center", "fontsize": USUAL}
    panels[0].text(middle, 0, "by the scanner, which waits for CPU 1", told)
    panels[-1].set_xlabel("ms of virtual time", fontsize=SMALL)
    handles = [Patch(facecolor=colour, label=name) for name, colour in COLOURS.items()]
    handles.append(Patch(label="the mapper waits", **WAIT))
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False)
    figure.savefig("sim-timeline.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
