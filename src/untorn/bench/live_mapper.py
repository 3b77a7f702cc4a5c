"""The mapper of target `live`: mmap(2) and munmap(2) of random pages of a large region."""

import ctypes
import gc
import mmap
import resource
import sys

from untorn.bench.mapper import (
    Calls,
    choose_pages,
    failure,
    measure_own_cost,
    send_updates,
    settle,
    time_updates,
)
from untorn.processes.child import wait_for_start

MAP_FIXED = 0x10
"""Source: include/uapi/asm-generic/mman-common.h, which Python's mmap lacks before 3.13."""


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
        raise failure(f"mapping of {size} bytes")
    return int(address)


def map_and_unmap(mb: int, duration_ns: int, gap_ns: int, seed: str) -> None:
    """Set up, wait for the word, make updates, send their latencies, stay until let go."""
    size = mb << 20
    updates, idle_calls = prepare_calls()
    base = map_region(size)
    gc.disable()
    own_cost_ns = measure_own_cost(idle_calls, base)
    choices = choose_pages(base, size, seed)
    settle(updates, choices, size // mmap.PAGESIZE)
    wait_for_start()
    before = resource.getrusage(resource.RUSAGE_SELF)
    latencies = time_updates(updates, choices, duration_ns, gap_ns)
    after = resource.getrusage(resource.RUSAGE_SELF)
    send_updates(
        latencies,
        own_cost_ns=own_cost_ns,
        blocked=after.ru_nvcsw - before.ru_nvcsw,
        preempted=after.ru_nivcsw - before.ru_nivcsw,
    )
    sys.stdin.readline()  # the scanners still read this process
