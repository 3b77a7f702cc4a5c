"""What a run of target `sim` starts from: a process whose region has been settled.

Settling costs more than a short run, and its outcome depends on only a few of the options. So it is
done once for all readers, and kept pickled: each run gets a process of its own.
"""

import pickle
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from untorn.bench.engine_run import map_region, prepare_calls
from untorn.bench.mapper import Calls, Choice, choose_updates, settle
from untorn.bench.resident import make_resident
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mm_types import MmStruct, VmaSlab
from untorn.releases.release import Release
from untorn.syscalls import Process


def set_up(
    release: Release, mb: int, resident_mb: int, seed: str
) -> tuple[Process, Calls, Iterator[Choice]]:
    """Return a process, its calls, and the next updates. Call it only while simulating().

    Args:
        release: The release of Linux that it behaves like.
        mb: Size of its region, in MiB.
        resident_mb: Resident memory in an additional VMA, in MiB; 0 for no such VMA.
        seed: Seed of the choice of pages.
    """
    process, region, made = pickle.loads(_settled(release, mb, resident_mb, seed))
    calls = prepare_calls(process)
    return process, calls, islice(choose_updates(calls, region, seed), made, None)


@lru_cache(maxsize=1)
def _settled(release: Release, mb: int, resident_mb: int, seed: str) -> bytes:
    """Return, pickled: a process, its region, and how many updates have been made."""
    # It needs its own slab: the usual one has a lock that was made outside.
    process = Process(MmStruct(release=release, slab=VmaSlab()))
    if resident_mb:
        make_resident(process, resident_mb << 20)
    base = map_region(process, mb << 20)
    region, calls = range(base, base + (mb << 20)), prepare_calls(process)
    updates = choose_updates(calls, region, seed)
    made = settle(calls.page, updates, len(region) // PAGE_SIZE)
    return pickle.dumps((process, region, made), pickle.HIGHEST_PROTOCOL)
