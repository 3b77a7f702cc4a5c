"""Orders stronger than Linux's: the checker must find nothing in these.

A load that may see less cannot show more.
"""

from untorn.check.memory.orders import ACQ_REL, ACQUIRE, FULL, RELEASE, Fence, Order
from untorn.check.memory.table import SEQUENCE_BEGINS, Site
from untorn.check.mutants.order_mutant import OrderMutant

_SCENARIOS = "maps/split-above", "maps/split-below", "query/split-above"
_WHY = "stronger than Linux: each load may see only a part of what it could see"


def _stronger(name: str, about: str, *changes: tuple[Site, Order]) -> OrderMutant:
    return OrderMutant(name, about, changes, _SCENARIOS, _WHY)


MUTANTS = [
    _stronger(
        "exclude-acquire",
        "a writer that keeps readers out sets the flag with an acquire",
        (Site("_exclude_readers", "add_not_zero"), ACQUIRE),
    ),
    _stronger(
        "look-acquire",
        "a writer that waits for readers checks the count with an acquire",
        (Site("_exclude_readers.<locals>.<lambda>", "load"), ACQUIRE.fenced(before=Fence.MB)),
    ),
    _stronger(
        "count-full",
        "a reader counts itself in with full order",
        (Site("vma_start_read", "inc_not_zero_limited"), FULL.found()),
    ),
    _stronger(
        "put-full",
        "a reader counts itself out with full order",
        (Site("vma_refcount_put", "add"), FULL),
    ),
    _stronger(
        "begin-release",
        "a section begins with smp_store_release() of the sequence, and smp_wmb",
        *(
            (Site(function, "store mm_lock_seq"), RELEASE.fenced(after=Fence.WMB))
            for function in SEQUENCE_BEGINS
        ),
    ),
    _stronger(
        "end-full",
        "a section ends with smp_mb around the store of the sequence",
        (Site("vma_end_write_all", "store mm_lock_seq"), FULL),
    ),
    _stronger(
        "detach-acquire",
        "a VMA is detached with an acquire, too",
        (Site("vma_mark_detached", "add"), ACQ_REL),
    ),
]
