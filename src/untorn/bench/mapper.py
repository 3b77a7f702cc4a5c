"""What a mapper does, whoever's calls it makes: update random pages and time each update.

What a timed call costs by itself is measured with the same code around a call that does nothing
to speak of.
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
"""For how long the mapper measures itself, and the gap meanwhile."""
BLOCK = 256
"""Random choices made at once."""

Call = tuple[Any, tuple[Any, ...]]
"""A C function and its arguments, ready to be called."""
Choice = tuple[int, bool]
"""The address of a page, and whether to map it (or to unmap it)."""


class PageAddress(Protocol):
    """Where the calls find the address of the page to update."""

    value: Any


class Calls(NamedTuple):
    """The two updates; both act on the page whose address is in `page`."""

    page: PageAddress
    unmap: Call
    map: Call


def choose_pages(base: int, size: int, seed: str) -> Iterator[Choice]:
    """Choose pages of the region and what to do with each, without end."""
    chance = random.Random(seed)
    addresses = range(base, base + size, mmap.PAGESIZE)
    while True:
        yield from zip(
            chance.choices(addresses, k=BLOCK),
            chance.choices((False, True), k=BLOCK),
            strict=True,
        )


def settle(calls: Calls, choices: Iterator[Choice], pages: int) -> None:
    """Make some updates that nobody times, a quarter as many as there are pages.

    A region that is still one VMA is not what a mapper works on: every update would meet the
    readers there, and figures would depend on how long a run is.
    """
    for address, mapping in itertools.islice(choices, pages // 4):
        call, arguments = calls.map if mapping else calls.unmap
        calls.page.value = address
        call(*arguments)


def time_updates(
    calls: Calls, choices: Iterator[Choice], duration_ns: int, gap_ns: int
) -> "array[int]":
    """Make updates for some nanoseconds; return how long each took, in nanoseconds.

    The gap is from the end of one update to the start of the next.
    """
    # Never too few: two updates start at least a gap apart.
    latencies = array("q", bytes(8 * (duration_ns // gap_ns + 2)))
    clock, page = time.perf_counter_ns, calls.page
    end = clock() + duration_ns
    done = count = 0
    while done < end:
        address, mapping = next(choices)
        call, arguments = calls.map if mapping else calls.unmap
        page.value = address
        begin = clock()
        result = call(*arguments)
        done = clock()
        latencies[count] = done - begin
        count += 1
        if result != (address if mapping else 0):
            raise failure(f"{'mapping' if mapping else 'unmapping'} of page {address:x}")
        # No sleep: it would hide whether the update before it had to sleep for a lock.
        while clock() < done + gap_ns:
            pass
    return latencies[:count]


def measure_own_cost(calls: Calls, address: int) -> float:
    """Return the median of what timing adds to an update, in nanoseconds."""
    choices = itertools.repeat((address, True))
    return float(median_high(time_updates(calls, choices, OWN_COST_NS, OWN_COST_GAP_NS)))


def send_updates(latencies: "array[int]", **counts: float) -> None:
    """Send the parent how long each update took, and what else was counted."""
    send(updates=len(latencies), **counts)
    sys.stdout.buffer.write(latencies.tobytes())
    sys.stdout.buffer.flush()


def failure(what: str) -> OSError:
    """Return the error of the C call that failed last, saying what it was to do."""
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
