"""What changing a map costs: a mapper's calls, and a call that does nothing.

The updates are those of the benchmark, on a region of its usual size; but a page may also be mapped
without being populated, to tell populating and freeing it from the rest. Costs differ with what an
update merges or splits; we take the median.
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
"""Updates that are timed, after a quarter as many as there are pages."""
SEED = 1


class Page(Enum):
    """The states of a page."""

    ABSENT = auto()
    UNTOUCHED = auto()
    """Mapped, not resident."""
    RESIDENT = auto()


Times = dict[tuple[Page, Page], list[int]]
"""By a page's state before and after, how many ns each update took."""


def measure_updates() -> None:
    """Send what updates and a call that does nothing cost, in ns by the names of Costs."""
    calls = _call_costs()
    paid = calls["syscall"] + calls["mmap_lock"]
    send(costs=calls | _update_costs(paid))


def _call_costs() -> dict[str, float]:
    """Return the costs of a system call that does nothing, and of one that only takes mmap_lock.

    brk() of an address below the heap drops the lock at once. Source: mm/mmap.c.
    """
    libc, zero = ctypes.PyDLL(None), ctypes.c_long(0)
    nothing = partial(libc.labs, zero)  # made before each, so that none finds the kernel warmer
    calls = nothing, partial(libc.getuid, zero), nothing, partial(libc.brk, zero)
    own, syscall, _, locked = time_in_turn(*calls)
    return {"syscall": syscall - own, "mmap_lock": locked - syscall}


def _update_costs(paid: float) -> dict[str, float]:
    """Return what updates cost in addition to a call that does nothing."""
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
    """Update random pages of a region, unmapping as many as are mapped; time the last ones."""
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
