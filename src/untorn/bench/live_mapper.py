"""The mapper of target `live`: mmap(2) and munmap(2) of random pages of a large region.

Or, for workload `fault`, first touches of pages, while a second thread makes those calls.
"""

import ctypes
import gc
import mmap
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from untorn.bench.mapper import (
    Call,
    Calls,
    Choice,
    choose_updates,
    failure,
    measure_own_cost,
    send_latencies,
    settle,
    time_calls,
)
from untorn.bench.resident import check_available, check_huge, make_resident
from untorn.bench.touches import choose_touches, updating
from untorn.processes.child import send
from untorn.processes.process_under_test import ThisProcess

MAP_FIXED = 0x10
"""Source: include/uapi/asm-generic/mman-common.h, which Python's mmap lacks before 3.13."""
SWITCH_INTERVAL = 1e-4
"""Seconds after which the thread that makes updates asks for the GIL: less than a stall lasts."""


def prepare_calls(library: type[ctypes.CDLL] = ctypes.PyDLL, *, populate: bool = True) -> Calls:
    """Return the calls of libc.

    Args:
        library: PyDLL keeps the GIL, if there is one: releasing it costs more than the calls. CDLL
            releases it, for a thread that must not keep others waiting.
        populate: A page that is mapped is made resident.
    """
    libc = library(None, use_errno=True)
    libc.mmap.restype = libc.labs.restype = ctypes.c_void_p
    page, size = ctypes.c_void_p(), ctypes.c_size_t(mmap.PAGESIZE)
    flags = MAP_FIXED | mmap.MAP_ANONYMOUS | mmap.MAP_PRIVATE
    flags |= mmap.MAP_POPULATE if populate else 0
    anonymous = tuple(map(ctypes.c_int, (mmap.PROT_WRITE, flags, -1)))
    arguments = (page, size, *anonymous, ctypes.c_long(0))
    return Calls(
        page,
        unmap=Call("unmapping", libc.munmap, (page, size), returns=0),
        map=Call("mapping", libc.mmap, arguments, returns=None),
        idle=Call("labs(3)", libc.labs, arguments, returns=None),
    )


def map_region(size: int) -> int:
    """Map and populate a region of size bytes, which stays; return its address."""
    libc = ctypes.PyDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    flags = mmap.MAP_ANONYMOUS | mmap.MAP_PRIVATE | mmap.MAP_POPULATE
    address = libc.mmap(None, ctypes.c_size_t(size), mmap.PROT_WRITE, flags, -1, ctypes.c_long(0))
    if address == ctypes.c_void_p(-1).value:
        raise failure(f"mapping of {size} bytes")
    return int(address)


Work = tuple[Iterator[Choice], Callable[[], AbstractContextManager[None]]]
"""What is timed, and the context to be in meanwhile."""


def prepare_updates(calls: Calls, region: range, seed: str) -> Work:
    """Prepare updates of a region that is mapped."""
    return _settled(calls, region, seed), nullcontext


def prepare_touches(calls: Calls, region: range, seed: str) -> Work:
    """Prepare first touches, with updates of a mapped region meanwhile."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    others = prepare_calls(ctypes.CDLL)
    updates = _settled(others, region, seed)
    touches = choose_touches(ThisProcess(), calls.page, seed)
    return touches, partial(updating, others.page, updates)


def _settled(calls: Calls, region: range, seed: str) -> Iterator[Choice]:
    updates = choose_updates(calls, region, seed)
    settle(calls.page, updates, len(region) // mmap.PAGESIZE)
    return updates


_PREPARATIONS = {"mmap": prepare_updates, "fault": prepare_touches}
"""By workload."""


def be_mapper(
    workload: str,
    mb: int,
    resident_mb: int,
    huge: bool,
    duration_ns: int,
    gap_ns: int,
    seed: str,
) -> None:
    """Set up; at every word of the parent make calls and send their times, until asked to end."""
    calls, size = prepare_calls(), mb << 20
    _reside(resident_mb << 20, huge=huge)
    base = map_region(size)
    gc.disable()
    own_cost_ns = measure_own_cost(calls, base)
    choices, beside = _PREPARATIONS[workload](calls, range(base, base + size), seed)
    send(ready=True)
    for _ in sys.stdin:  # after a measurement, too, readers are at this process
        before = resource.getrusage(resource.RUSAGE_THREAD)
        with beside():
            latencies = time_calls(calls.page, choices, duration_ns, gap_ns)
        after = resource.getrusage(resource.RUSAGE_THREAD)
        send_latencies(
            latencies,
            own_cost_ns=own_cost_ns,
            blocked=after.ru_nvcsw - before.ru_nvcsw,
            preempted=after.ru_nivcsw - before.ru_nivcsw,
        )


def _reside(size: int, *, huge: bool) -> None:
    if size:
        check_available(size)
        make_resident(ThisProcess(), size, huge=huge)
    if huge:
        check_huge(size)
