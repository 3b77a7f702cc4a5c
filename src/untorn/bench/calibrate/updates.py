"""What it costs to change a map: of a mapper's calls, and of a call that does nothing.

The updates are those of the benchmark, on a region of its usual size; but a page may also be
mapped without being populated, so that what populates and frees it can be told from the rest.
What they merge and split differs, and their costs with it: a median speaks for all.
"""

import ctypes
import random
from collections.abc import Mapping
from enum import Enum, auto
from functools import partial
from statistics import median

from untorn.bench.calibrate.timing import time_in_turn, time_one
from untorn.bench.live_mapper import map_region, prepare_calls
from untorn.bench.mapper import Call
from untorn.bench.target import BenchOptions
from untorn.maps.page import PAGE_SIZE
from untorn.processes.child import send

REGION = BenchOptions().mb << 20
"""Bytes of the region."""
UPDATES = 6000
"""Updates that are timed, after as many as there are pages by four."""
SEED = 1


class Page(Enum):
    """What a page may be."""

    ABSENT = auto()
    UNTOUCHED = auto()
    """Mapped, not resident."""
    RESIDENT = auto()


Times = dict[tuple[Page, Page], list[int]]
"""By what a page was and what it became, how many ns each update took."""


def measure_updates() -> None:
    """Send what updates cost, and a call that does nothing, in ns by the names of Costs."""
    calls = _call_costs()
    paid = calls["syscall"] + calls["mmap_lock"]
    send(costs=calls | _update_costs(paid))


def _call_costs() -> dict[str, float]:
    """Return what a system call costs that does nothing, and one that takes mmap_lock for that.

    brk() of an address below the heap lets go of the lock at once. Source: mm/mmap.c.
    """
    libc, zero = ctypes.PyDLL(None), ctypes.c_long(0)
    nothing = partial(libc.labs, zero)  # goes before each, so that none finds the kernel warmer
    calls = nothing, partial(libc.getuid, zero), nothing, partial(libc.brk, zero)
    own, syscall, _, locked = time_in_turn(*calls)
    return {"syscall": syscall - own, "mmap_lock": locked - syscall}


def _update_costs(paid: float) -> dict[str, float]:
    """Return what updates cost beyond what all calls pay."""
    mapped, bare = prepare_calls(), prepare_calls(populate=False)
    idle = _idle_time(mapped.idle)
    times = _time_updates(
        {Page.ABSENT: mapped.unmap, Page.UNTOUCHED: bare.map, Page.RESIDENT: mapped.map}
    )
    mmap = median(times[Page.ABSENT, Page.UNTOUCHED])
    munmap = median(times[Page.UNTOUCHED, Page.ABSENT])
    return {
        "mmap": mmap - idle - paid,
        "munmap": munmap - idle - paid,
        "populate": median(times[Page.ABSENT, Page.RESIDENT]) - mmap,
        "free_page": median(times[Page.RESIDENT, Page.ABSENT]) - munmap,
    }


def _idle_time(idle: Call) -> float:
    (nothing,) = time_in_turn(partial(idle.function, *idle.arguments))
    return nothing


def _time_updates(calls: Mapping[Page, Call]) -> Times:
    """Make updates of random pages of a region, as many unmap one as map it; time the last ones."""
    chance, base, times = random.Random(SEED), map_region(REGION), Times()
    pages = dict.fromkeys(range(base, base + REGION, PAGE_SIZE), Page.RESIDENT)
    addresses, settling = list(pages), len(pages) // 4
    for number in range(settling + UPDATES):
        address = chance.choice(addresses)
        before, (after,) = pages[address], chance.choices(list(calls), weights=(2, 1, 1))
        call = calls[after]
        call.arguments[0].value = address
        ns = time_one(partial(call.function, *call.arguments))
        pages[address] = after
        if number >= settling:
            times.setdefault((before, after), []).append(ns)
    return times
