"""Schedules per second and CPU of the checker, and its cost to the engine, which is nothing.

    make bench-checker

One reader and one writer, so many steps in a schedule. Rates are per CPU time, the best of a few
rounds: a disturbance can only make a round slower. The engine is timed before the checker is
imported and again after it was used; the ratio should be 1.
"""

import gc
import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ
from untorn.syscalls import Process

if TYPE_CHECKING:
    from untorn.check.explore import Exploration
    from untorn.check.runtime.execution import Strategy

SCENARIOS = ("maps/join-right", "maps/join-left", "maps/split-above", "maps/merge-left")
ROUNDS = 5
SCHEDULES = 4000
"""Schedules in a round at least."""
PAIRS = 5_000
BASE = 0x1000_0000


def pair_time() -> float:
    """Return how many microseconds the engine takes to map and unmap a page."""
    process = Process()
    flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    times = []
    for _ in range(4 * ROUNDS):
        begun = time.process_time()
        for _ in range(PAIRS):
            process.mmap(BASE, PAGE_SIZE, PROT_READ, flags)
            process.munmap(BASE, PAGE_SIZE)
        times.append(time.process_time() - begun)
    return min(times) / PAIRS * 1e6


def rate(
    name: str, strategy: "Callable[[int], Strategy]", memory: str = "sc"
) -> tuple[float, float]:
    """Return schedules per second of CPU, and steps of each."""
    best = 0.0
    for seed in range(ROUNDS):
        rounds: list[Exploration] = []
        while sum(each.played for each in rounds) < SCHEDULES:
            rounds.append(explored(name, strategy(seed), memory))
        schedules = sum(each.played for each in rounds)
        best = max(best, schedules / sum(each.seconds for each in rounds))
        steps = sum(each.steps for each in rounds) / schedules
    return best, steps


def explored(name: str, strategy: "Strategy", memory: str) -> "Exploration":
    """Explore a scenario; nothing may break."""
    explore = import_module("untorn.check.explore")
    with import_module("untorn.check.memory.modes").watching_in(memory):
        found: Exploration = explore.explore(
            import_module("untorn.check.scenarios").SCENARIOS[name].build, strategy
        )
    if found.failure is not None:
        raise found.failure
    return found


def speeds() -> Table:
    """Return the table of rates."""
    sampling = import_module("untorn.check.strategies.sampling")
    search = import_module("untorn.check.memory.modes").search
    table = Table(title="schedules per second (steps of each)")
    table.add_column("scenario")
    table.add_column("random", justify="right")
    table.add_column("dpor", justify="right")
    table.add_column("dpor, linux", justify="right")
    for name in SCENARIOS:
        drawn = rate(name, lambda seed: sampling.RandomWalk(SCHEDULES, seed))
        reduced = rate(name, lambda _: search("sc"))
        weak = rate(name, lambda _: search("linux"), "linux")
        cells = (f"{found:,.0f} ({steps:.0f})" for found, steps in (drawn, reduced, weak))
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    gc.disable()
    before = pair_time()
    table = speeds()
    after = pair_time()
    Console(width=100).print(table)
    print(
        f"the engine maps and unmaps a page in {before:.1f} us before the checker was imported,"
        f" {after:.1f} us after it was used: {after / before:.2f} times that"
    )
