"""What a mapper does on any target: one call after the other on some page, each timed.

The cost of timing itself is measured with the same code around a call that does almost nothing.
"""

import ctypes
import itertools
import mmap
import os
import random
import sys
import time
from array import array
from collections.abc import Iterator
from statistics import median_high
from typing import Any, NamedTuple, Protocol

from untorn.processes.child import send

OWN_COST_NS, OWN_COST_GAP_NS = 20_000_000, 10_000
"""How long the mapper measures the cost of timing, and its pause between calls meanwhile, in ns."""
BLOCK = 256
"""Random choices made at once."""


class Call(NamedTuple):
    """A function and its arguments, ready to be called; it acts on the page of its Calls."""

    name: str
    """What the call does to the page, such as "mapping"."""
    function: Any
    arguments: tuple[Any, ...]
    returns: int | None
    """What it returns on success; None for the address of the page."""


Choice = tuple[int, Call]
"""The address of a page, and what to do with it."""


class PageAddress(Protocol):
    """Where the calls find the address of the page to act on."""

    value: Any


class Calls(NamedTuple):
    """What a mapper can do to a page; all find its address in `page`."""

    page: PageAddress
    unmap: Call
    map: Call
    idle: Call
    """Does nothing but what surrounds each of the others."""


def choose_updates(calls: Calls, region: range, seed: str) -> Iterator[Choice]:
    """Choose pages of the region, and whether to map or unmap each, without end."""
    chance = random.Random(seed)
    addresses = region[:: mmap.PAGESIZE]
    while True:
        yield from zip(
            chance.choices(addresses, k=BLOCK),
            chance.choices((calls.unmap, calls.map), k=BLOCK),
            strict=True,
        )


def settle(page: PageAddress, updates: Iterator[Choice], pages: int) -> int:
    """Make updates without timing them, a quarter as many as there are pages; return how many.

    While the region is still one VMA, every update would meet the readers there, and figures would
    depend on how long a run is.
    """
    for choice in itertools.islice(updates, pages // 4):
        make_call(page, choice)
    return pages // 4


def make_call(page: PageAddress, choice: Choice) -> None:
    """Make a call without timing it."""
    page.value, call = choice
    call.function(*call.arguments)


def time_calls(
    page: PageAddress, choices: Iterator[Choice], duration_ns: int, gap_ns: int
) -> "array[int]":
    """Make calls for some nanoseconds; return how long each took, in nanoseconds.

    The gap is from the end of one call to the start of the next.
    """
    # This is always enough: two calls start at least gap_ns apart.
    latencies = array("q", bytes(8 * (duration_ns // gap_ns + 2)))
    clock = time.perf_counter_ns
    end = clock() + duration_ns
    done = count = 0
    while done < end:
        address, (name, function, arguments, returns) = next(choices)
        page.value = address
        os.sched_yield()  # another task that wants this CPU takes it now, not during a call
        begin = clock()
        result = function(*arguments)
        done = clock()
        latencies[count] = done - begin
        count += 1
        if result != (address if returns is None else returns):
            raise failure(f"{name} of page {address:x}")
        # No sleep: it would hide whether the call before it had to sleep for a lock.
        while clock() < done + gap_ns:
            pass
    return latencies[:count]


def measure_own_cost(calls: Calls, address: int) -> float:
    """Return the median of what timing adds to a call, in nanoseconds."""
    choices = itertools.repeat((address, calls.idle))
    return float(median_high(time_calls(calls.page, choices, OWN_COST_NS, OWN_COST_GAP_NS)))


def send_latencies(latencies: "array[int]", **counts: float) -> None:
    """Send the parent how long each call took, and what else was counted."""
    send(updates=len(latencies), **counts)
    sys.stdout.buffer.write(latencies.tobytes())
    sys.stdout.buffer.flush()


def failure(what: str) -> OSError:
    """Return the error of the last C call that failed, with what it was meant to do."""
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
