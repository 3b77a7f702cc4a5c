"""Mutants of orders: an acquire, a release or a barrier of Linux left out, or made less.

docs/weak-memory.md has the shortest schedule that needs each of them. Two change the text: what
Linux orders there is not one access, but which of two comes first, and what a reference may be to.
"""

from untorn.check.memory.orders import ONCE, RELEASE, Fence
from untorn.check.memory.table import SEQUENCE_BEGINS, Site
from untorn.check.mutants.mutant import Mutant
from untorn.check.mutants.order_mutant import AnyMutant, OrderMutant
from untorn.mm import vma_lock
from untorn.mm.mm_types import VmaSlab

_LOOK = Site("_exclude_readers.<locals>.<lambda>", "load")
_WAKE = Site("RcuWait.wake_up", "load task")
_SECOND_LOOK = "if vma.vm_lock_seq == mm.mm_lock_seq:\n        vma_refcount"
_WALKS = "maps/split-above", "maps/split-below", "query/split-above", "query-one/mprotect+mmap-next"

_READERS: list[AnyMutant] = [
    OrderMutant(
        "count-relaxed",
        "a reader counts itself in without an acquire",
        ((Site("vma_start_read", "inc_not_zero_limited"), ONCE.found()),),
        ("maps/split-above",),
    ),
    OrderMutant(
        "second-look-relaxed",
        "a counted reader checks the sequence without an acquire",
        ((Site("vma_start_read", "load mm_lock_seq", 2), ONCE),),
        ("maps/split-above",),
    ),
    Mutant(
        "second-look-before-the-count",
        "a reader makes the deciding load of the sequence before it counts itself in",
        vma_lock.vma_start_read,
        (
            ("    found = vma.", "    seq = mm.mm_lock_seq\n    found = vma."),
            (_SECOND_LOOK, _SECOND_LOOK.replace("mm.mm_lock_seq", "seq")),
        ),
        ("maps/split-above",),
    ),
    Mutant(
        "second-look-swapped",
        "the second check loads the sequence of the mm first, then that of the VMA",
        vma_lock.vma_start_read,
        (
            (
                _SECOND_LOOK,
                _SECOND_LOOK.replace(
                    "vma.vm_lock_seq == mm.mm_lock_seq", "mm.mm_lock_seq == vma.vm_lock_seq"
                ),
            ),
        ),
        _WALKS,
        "both come after the count, and C leaves the order of the two open",
    ),
    OrderMutant(
        "put-relaxed",
        "a reader counts itself out without a release",
        ((Site("vma_refcount_put", "add"), ONCE),),
        ("maps/split-above",),
    ),
    OrderMutant(
        "try-begin-relaxed",
        "the sequence is sampled before a lookup without an acquire",
        ((Site("mmap_lock_speculate_try_begin", "load mm_lock_seq"), ONCE),),
        ("maps/split-below",),
    ),
    OrderMutant(
        "retry-without-rmb",
        "a reader that copies checks the sequence again without smp_rmb",
        ((Site("mmap_lock_speculate_retry", "load mm_lock_seq"), ONCE),),
        ("rcu/split-above",),
    ),
    OrderMutant(
        "locked-count-relaxed",
        "a reader that holds mmap_lock counts itself in without an acquire",
        ((Site("vma_start_read_locked", "inc_not_zero_limited"), ONCE),),
        _WALKS,
        "mmap_lock has ordered it after all writers",
    ),
    OrderMutant(
        "root-without-dependency",
        "memory reached through the root may be older than the root",
        tuple(
            (Site(function, "load root"), ONCE)
            for function in (
                "VmaIterator.next",
                "VmaTree.find",
                "VmaTree.find_slot",
                "VmaTree.find_before",
                "VmaTree.__iter__",
            )
        ),
        _WALKS,
        "a VMA is read only after the count, which orders more; nodes are values here",
    ),
]

_WRITERS: list[AnyMutant] = [
    OrderMutant(
        "flag-cleared-relaxed",
        "a writer lets readers into a VMA that it has write-locked without a release",
        ((Site("vma_start_write", "add"), ONCE),),
        ("maps/split-above",),
    ),
    OrderMutant(
        "attach-relaxed",
        "a VMA is attached without a release",
        ((Site("vma_mark_attached", "store"), ONCE),),
        ("recycled/there",),
    ),
    OrderMutant(
        "detach-relaxed",
        "a VMA is detached without a release",
        ((Site("vma_mark_detached", "add"), ONCE),),
        (*_WALKS, "query-one/munmap+other-mmap"),
        "nothing is learned from a count of 0: a refused reader looks the VMA up again",
    ),
    Mutant(
        "freed-for-anything",
        "the memory of a VMA that was freed is used for another type while readers have it",
        VmaSlab.free,
        (
            (
                "    vma.vm_file = None\n",
                "    vma.vm_file = None\n    vma.vm_refcnt = type(vma.vm_refcnt)(1)\n",
            ),
        ),
        ("query-one/munmap+other-mmap",),
        base=Mutant(
            "allocated-anew",
            "a VMA that is allocated gets a count of its own",
            VmaSlab.alloc,
            (
                (
                    "    vma.vm_mm = mm\n",
                    "    vma.vm_mm = mm\n    vma.vm_refcnt = type(vma.vm_refcnt)(0)\n",
                ),
            ),
            (),
        ),
    ),
    OrderMutant(
        "end-without-wmb",
        "a section ends without smp_wmb before the sequence is stored",
        ((Site("vma_end_write_all", "store mm_lock_seq"), ONCE),),
        ("maps/split-above",),
    ),
    OrderMutant(
        "end-release-without-wmb",
        "a section ends with smp_store_release() instead of smp_wmb and a store",
        ((Site("vma_end_write_all", "store mm_lock_seq"), RELEASE),),
        ("query-one/mprotect+mmap-next",),
    ),
    OrderMutant(
        "begin-without-wmb",
        "a section begins without smp_wmb after the sequence is stored",
        tuple((Site(function, "store mm_lock_seq"), ONCE) for function in SEQUENCE_BEGINS),
        (*_WALKS, "rcu/split-above"),
        "its first change comes after a write lock, with smp_mb, or is published with a release",
    ),
    OrderMutant(
        "root-published-relaxed",
        "a new root is published without a release",
        ((Site("store_range", "store root"), ONCE),),
        _WALKS,
        "a VMA is read only after the count, which orders more; nodes are values here",
    ),
]

_WAITERS = [
    OrderMutant(
        "waker-without-mb",
        "a reader that left looks for a waiter without smp_mb",
        ((_WAKE, ONCE),),
        ("maps/split-above",),
    ),
    OrderMutant(
        "waker-with-rmb",
        "a reader that left looks for a waiter after smp_rmb instead of smp_mb",
        ((_WAKE, ONCE.fenced(before=Fence.RMB)),),
        ("maps/split-above",),
    ),
    OrderMutant(
        "waker-with-wmb",
        "a reader that left looks for a waiter after smp_wmb instead of smp_mb",
        ((_WAKE, ONCE.fenced(before=Fence.WMB)),),
        ("maps/split-above",),
    ),
    OrderMutant(
        "waiter-without-mb",
        "a writer that has announced its wait checks the count without smp_mb",
        ((_LOOK, ONCE),),
        ("maps/split-above",),
    ),
    OrderMutant(
        "waiter-with-rmb",
        "a writer that has announced its wait checks the count after smp_rmb instead of smp_mb",
        ((_LOOK, ONCE.fenced(before=Fence.RMB)),),
        ("maps/split-above",),
    ),
    OrderMutant(
        "waiter-with-wmb",
        "a writer that has announced its wait checks the count after smp_wmb instead of smp_mb",
        ((_LOOK, ONCE.fenced(before=Fence.WMB)),),
        ("maps/split-above",),
    ),
    OrderMutant(
        "waiter-published-relaxed",
        "a writer announces its wait without a release",
        ((Site("RcuWait.wait_event", "store task", 1), ONCE),),
        _WALKS,
        "the waker reads nothing through it but the task, and smp_mb comes after it",
    ),
]


def _semaphore(
    name: str, about: str, where: str, scenario: str, equivalent: str = ""
) -> OrderMutant:
    function, _, what = where.partition(" ")
    return OrderMutant(
        name, about, ((Site(f"RwSemaphore.{function}", what), ONCE),), (scenario,), equivalent
    )


_SEMAPHORES = [
    _semaphore(
        "mmap-read-lock-relaxed",
        "mmap_lock is taken for reading without an acquire",
        "down_read lock",
        "mmap_lock/split-above",
    ),
    _semaphore(
        "mmap-read-unlock-relaxed",
        "a reader drops mmap_lock without a release",
        "up_read unlock",
        "mmap_lock/split-above",
    ),
    _semaphore(
        "mmap-write-lock-relaxed",
        "mmap_lock is taken for writing without an acquire",
        "down_write lock",
        "meet/writers-alone",
    ),
    _semaphore(
        "mmap-write-unlock-relaxed",
        "a writer drops or downgrades mmap_lock without a release",
        "_leave_write unlock",
        "meet/writer-that-looks",
    ),
    _semaphore(
        "mmap-lock-handed-over-relaxed",
        "a task hands mmap_lock over without a release",
        "_hand_over store granted",
        "mmap_lock/split-above",
        "here the task that gets it then takes the mutex to count its wait; Linux's takes no lock",
    ),
    _semaphore(
        "mmap-lock-got-relaxed",
        "a task that is handed mmap_lock sees this without an acquire",
        "_is_in load granted",
        "meet/writers-alone",
    ),
]

_OTHERS = [
    OrderMutant(
        "file-lock-relaxed",
        "the mutex of a file is unlocked without a release",
        ((Site("SeqFile.read", "unlock"), ONCE),),
        ("meet/one-file",),
    ),
    OrderMutant(
        "spinlocks-relaxed",
        "spinlocks are unlocked without a release",
        ((Site("", "unlock"), ONCE),),
        ("fault/two",),
    ),
    OrderMutant(
        "users-put-relaxed",
        "a user drops its mm without any order",
        ((Site("mmput", "add"), ONCE),),
        ("meet/exit", "meet/exit-between-lines"),
        "teardown of the mm takes mmap_lock first, which orders it after all writers",
    ),
]

MUTANTS = [*_READERS, *_WRITERS, *_WAITERS, *_SEMAPHORES, *_OTHERS]
