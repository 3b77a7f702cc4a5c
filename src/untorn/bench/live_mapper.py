"""The mapper: maps and unmaps random pages of a large region and times each call.

What a timed call costs by itself is measured with the same code around a C function that does
nothing to speak of.
"""

import ctypes
import gc
import itertools
import mmap
import os
import random
import resource
import sys
import time
from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

from untorn.bench.child import send, serve, wait_for_start

GAP_NS = 10_000
"""From the end of one update to the start of the next."""
OWN_COST_NS = 20_000_000
"""For how long the mapper measures itself."""
MAP_FIXED = 0x10
"""Source: include/uapi/asm-generic/mman-common.h, which Python's mmap lacks before 3.13."""
BLOCK = 256
"""Random choices made at once."""

Call = tuple[Any, tuple[Any, ...]]
"""A C function and its arguments, ready to be called."""
Choice = tuple[int, bool]
"""The address of a page, and whether to map it (or to unmap it)."""


class Calls(NamedTuple):
    """The two updates; both act on the page whose address is in `page`."""

    page: ctypes.c_void_p
    unmap: Call
    map: Call


def prepare_calls() -> tuple[Calls, Calls]:
    """Return the real updates, and calls of labs(3) with the arguments of the first."""
    # PyDLL keeps the GIL: giving it up costs more than the calls, and this is the only thread.
    libc = ctypes.PyDLL(None, use_errno=True)
    libc.mmap.restype = libc.labs.restype = ctypes.c_void_p
    page, size = ctypes.c_void_p(), ctypes.c_size_t(mmap.PAGESIZE)
    flags = MAP_FIXED | mmap.MAP_ANONYMOUS | mmap.MAP_PRIVATE | mmap.MAP_POPULATE
    anonymous = tuple(map(ctypes.c_int, (mmap.PROT_WRITE, flags, -1)))
    arguments = (page, size, *anonymous, ctypes.c_long(0))
    labs = (libc.labs, arguments)
    return Calls(page, (libc.munmap, (page, size)), (libc.mmap, arguments)), Calls(page, labs, labs)


def map_region(size: int) -> int:
    """Map and populate a region of size bytes, which stays; return its address."""
    libc = ctypes.PyDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    flags = mmap.MAP_ANONYMOUS | mmap.MAP_PRIVATE | mmap.MAP_POPULATE
    address = libc.mmap(None, ctypes.c_size_t(size), mmap.PROT_WRITE, flags, -1, ctypes.c_long(0))
    if address == ctypes.c_void_p(-1).value:
        raise _failure(f"mapping of {size} bytes")
    return int(address)


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


def time_updates(calls: Calls, choices: Iterator[Choice], duration_ns: int) -> "array[int]":
    """Make updates for some nanoseconds; return how long each took, in nanoseconds."""
    # Never too few: two updates start at least a gap apart.
    latencies = array("q", bytes(8 * (duration_ns // GAP_NS + 2)))
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
            raise _failure(f"{'mapping' if mapping else 'unmapping'} of page {address:x}")
        # No sleep: it would hide whether the update before it had to sleep for a lock.
        while clock() < done + GAP_NS:
            pass
    return latencies[:count]


def measure_own_cost(calls: Calls, address: int) -> float:
    """Return the median of what timing adds to an update, in nanoseconds."""
    costs = sorted(time_updates(calls, itertools.repeat((address, True)), OWN_COST_NS))
    return float(costs[len(costs) // 2])


def work(mb: int, duration_ns: int, seed: str) -> None:
    """Set up, wait for the word, make updates, send their latencies, stay until let go."""
    size = mb << 20
    updates, idle_calls = prepare_calls()
    base = map_region(size)
    gc.disable()
    own_cost_ns = measure_own_cost(idle_calls, base)
    choices = choose_pages(base, size, seed)
    wait_for_start()
    before = resource.getrusage(resource.RUSAGE_SELF)
    latencies = time_updates(updates, choices, duration_ns)
    after = resource.getrusage(resource.RUSAGE_SELF)
    send(
        updates=len(latencies),
        own_cost_ns=own_cost_ns,
        blocked=after.ru_nvcsw - before.ru_nvcsw,
        preempted=after.ru_nivcsw - before.ru_nivcsw,
    )
    sys.stdout.buffer.write(latencies.tobytes())
    sys.stdout.buffer.flush()
    sys.stdin.readline()  # the scanners still read this process


def _failure(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    serve(work)
