"""The table of orders: each access to shared state, with the order that Linux gives it there.

It is the trusted base of what is explored under weak memory: the engine's code says in which order
accesses are made, and this table what each of them promises. A place that it does not list is an
error. Sources are of Linux 6.18, file:function.
"""

from __future__ import annotations

from typing import NamedTuple

from untorn.check.memory.orders import (
    ACQ_REL,
    ACQUIRE,
    DEREFERENCE,
    ONCE,
    RELEASE,
    SPINLOCK,
    Fence,
    Order,
)
from untorn.check.runtime.shared import GUARDED
from untorn.mm.mm_types import Vma

BY_CALLER = ("_seq_step",)
"""Functions whose accesses are taken for those of their callers, as Linux's are there."""


class Site(NamedTuple):
    """An access: where in the code, and what it does."""

    function: str
    """With its class, if it has one; empty for all others."""
    what: str
    """load, store or delete and the field; the operation of a counter; lock or unlock."""
    ordinal: int = 0
    """Of several like it in the function; 0 for all others."""


class Row(NamedTuple):
    """An access with its order."""

    site: Site
    order: Order
    source: str
    """Where Linux makes it: file:function."""
    pairs: str = ""
    """What it pairs with, or why it needs nothing."""


_LOCK_H, _LOCK_C = "include/linux/mmap_lock.h", "mm/mmap_lock.c"
_SEQ_H, _RWSEM_C = "include/linux/seqlock.h", "kernel/locking/rwsem.c"
_WAIT_H, _WAIT_C = "include/linux/rcuwait.h", "kernel/exit.c"

_FOUND = ONCE.found()
_AFTER_RMB = ONCE.fenced(before=Fence.RMB)
_AFTER_WMB = ONCE.fenced(before=Fence.WMB)
_BEFORE_WMB = ONCE.fenced(after=Fence.WMB)
_AFTER_MB = ONCE.fenced(before=Fence.MB)

_STABLE = "a lock that its caller holds"
SEQUENCE_BEGINS = "mmap_write_lock", "mmap_write_lock_killable", "mmap_write_lock_nested"


def _begin(function: str) -> tuple[Row, Row]:
    source = f"{_SEQ_H}:do_raw_write_seqcount_begin, smp_wmb after it"
    return (
        Row(Site(function, "load mm_lock_seq"), ONCE, source, _STABLE),
        Row(
            Site(function, "store mm_lock_seq"), _BEFORE_WMB, source, "mmap_lock_speculate_retry()"
        ),
    )


_READER = (
    Row(
        Site("vma_start_read", "load vm_lock_seq", 1),
        _FOUND,
        f"{_LOCK_C}:vma_start_read, READ_ONCE",
        "nothing: a hint",
    ),
    Row(
        Site("vma_start_read", "load mm_lock_seq", 1),
        ONCE,
        f"{_LOCK_C}:vma_start_read, READ_ONCE",
        "nothing: a hint",
    ),
    Row(
        Site("vma_start_read", "inc_not_zero_limited"),
        ACQUIRE.found(),
        "include/linux/refcount.h:__refcount_inc_not_zero_limited_acquire",
        "vma_start_write(), vma_mark_attached(); a refusal has no order",
    ),
    Row(
        Site("vma_start_read", "load vm_mm"),
        _FOUND,
        f"{_LOCK_C}:vma_start_read, plain",
        "VmaSlab.alloc(), by the count",
    ),
    Row(
        Site("vma_start_read", "load vm_lock_seq", 2),
        _FOUND,
        f"{_LOCK_C}:vma_start_read, plain",
        "vma_start_write(), by the count",
    ),
    Row(
        Site("vma_start_read", "load mm_lock_seq", 2),
        ACQUIRE,
        f"{_LOCK_C}:vma_start_read, raw_read_seqcount",
        "vma_end_write_all()",
    ),
    Row(
        Site("vma_start_read_locked", "inc_not_zero_limited"),
        ACQUIRE,
        f"{_LOCK_H}:vma_start_read_locked_nested",
        _STABLE,
    ),
    Row(Site("vma_refcount_put", "load vm_mm"), _FOUND, f"{_LOCK_H}:vma_refcount_put", "the count"),
    Row(Site("_put_foreign", "load vm_mm"), _FOUND, f"{_LOCK_C}:vma_start_read", "the count"),
    Row(
        Site("vma_refcount_put", "add"),
        RELEASE,
        f"{_LOCK_H}:vma_refcount_put, __refcount_dec_and_test",
        "_exclude_readers()",
    ),
    Row(
        Site("mmap_lock_speculate_try_begin", "load mm_lock_seq"),
        ACQUIRE,
        f"{_SEQ_H}:raw_seqcount_try_begin",
        "vma_end_write_all()",
    ),
    Row(
        Site("mmap_lock_speculate_retry", "load mm_lock_seq"),
        _AFTER_RMB,
        f"{_SEQ_H}:read_seqcount_retry",
        "mmap_write_lock()",
    ),
    Row(
        Site("RcuLocking._wait_for_writer", "load mm_lock_seq"),
        ONCE,
        "none: the version of January 2024",
        _STABLE,
    ),
    Row(
        Site("RcuLocking.get_next_vma", "load vm_mm"),
        _FOUND,
        "none: the version of January 2024",
        "mmap_lock_speculate_retry()",
    ),
)

_WRITER = (
    *(row for function in SEQUENCE_BEGINS for row in _begin(function)),
    Row(
        Site("vma_end_write_all", "load mm_lock_seq"),
        ONCE,
        f"{_SEQ_H}:do_raw_write_seqcount_end",
        _STABLE,
    ),
    Row(
        Site("vma_end_write_all", "store mm_lock_seq"),
        _AFTER_WMB,
        f"{_SEQ_H}:do_raw_write_seqcount_end",
        "vma_start_read(), mmap_lock_speculate_try_begin()",
    ),
    Row(
        Site("vma_is_write_locked", "load vm_lock_seq"),
        ONCE,
        f"{_LOCK_H}:__is_vma_write_locked",
        _STABLE,
    ),
    Row(
        Site("vma_is_write_locked", "load mm_lock_seq"),
        ONCE,
        f"{_LOCK_H}:__is_vma_write_locked",
        _STABLE,
    ),
    Row(Site("vma_start_write", "load mm_lock_seq"), ONCE, f"{_LOCK_C}:__vma_start_write", _STABLE),
    Row(
        Site("vma_start_write", "store vm_lock_seq"),
        ONCE,
        f"{_LOCK_C}:__vma_start_write, WRITE_ONCE",
        "vma_start_read(), by the count",
    ),
    Row(
        Site("vma_start_write", "add"),
        RELEASE,
        f"{_LOCK_C}:__vma_exit_locked, refcount_sub_and_test",
        "vma_start_read()",
    ),
    Row(
        Site("_exclude_readers", "add_not_zero"),
        ONCE,
        f"{_LOCK_C}:__vma_enter_locked, refcount_add_not_zero",
        "nothing: the look after it has the order",
    ),
    Row(
        Site("_exclude_readers.<locals>.<lambda>", "load"),
        _AFTER_MB,
        f"{_WAIT_H}:___rcuwait_wait_event, set_current_state",
        "RcuWait.wake_up(); vma_refcount_put(), by a control dependency",
    ),
    Row(
        Site("_exclude_readers", "add"),
        RELEASE,
        f"{_LOCK_C}:__vma_exit_locked, refcount_sub_and_test",
        "vma_start_read()",
    ),
    Row(
        Site("vma_mark_attached", "store"),
        RELEASE,
        f"{_LOCK_H}:vma_mark_attached, refcount_set_release",
        "vma_start_read()",
    ),
    Row(
        Site("vma_mark_detached", "add"),
        RELEASE,
        f"{_LOCK_C}:vma_mark_detached, refcount_dec_and_test",
        "vma_start_read(), which is refused",
    ),
    Row(
        Site("VmaSlab.alloc", "store vm_lock_seq"),
        ONCE,
        f"{_LOCK_H}:vma_lock_init, plain",
        "vma_start_read(), by the count",
    ),
    Row(
        Site("VmaSlab.alloc", "store vm_mm"),
        ONCE,
        "mm/vma_init.c:vm_area_init_from, plain",
        "vma_start_read(), by the count",
    ),
    Row(
        Site("RcuLocking.get_next_vma", "store vm_mm"),
        ONCE,
        "none: the version of January 2024",
        "nothing: nobody else has the copy",
    ),
    Row(Site("", "load vm_mm"), ONCE, "plain, wherever the VMA is kept", _STABLE),
    *(
        Row(Site(function, "load"), ONCE, f"{_LOCK_H}:{function}, refcount_read", "an assertion")
        for function in ("vma_assert_attached", "vma_assert_locked", "vma_mark_attached")
    ),
    Row(Site("VmaSlab.free", "load"), ONCE, "mm/vma_init.c:vm_area_free", "an assertion"),
)

_WAKING = (
    Row(
        Site("RcuWait.wait_event", "store task", 1),
        RELEASE,
        f"{_WAIT_H}:prepare_to_rcuwait, rcu_assign_pointer",
        "RcuWait.wake_up()",
    ),
    Row(
        Site("RcuWait.wait_event", "store task", 2),
        ONCE,
        f"{_WAIT_C}:finish_rcuwait",
        "nothing: a wake-up may be needless",
    ),
    Row(
        Site("RcuWait.wake_up", "load task"),
        _AFTER_MB,
        f"{_WAIT_C}:rcuwait_wake_up, smp_mb and rcu_dereference",
        "RcuWait.wait_event()",
    ),
    Row(Site("", "load vma_writer_wait"), ONCE, "a part of mm_struct", "a reference to the mm"),
    Row(Site("mmdrop", "delete vma_writer_wait"), ONCE, "kernel/fork.c:__mmdrop", "mm_count"),
    Row(
        Site("Task.kill", "store killed"),
        ONCE,
        "kernel/signal.c:signal_wake_up_state, TIF_SIGPENDING",
        "the wake-up after it",
    ),
    Row(Site("", "load killed"), ONCE, "include/linux/sched/signal.h:signal_pending", "a wake-up"),
)

_TREE = (
    Row(
        Site("store_range", "store root"),
        RELEASE,
        "lib/maple_tree.c:mas_replace_node, rcu_assign_pointer",
        "VmaIterator.next(), VmaTree.find()...",
    ),
    *(
        Row(
            Site(function, "load root"),
            DEREFERENCE,
            "lib/maple_tree.c:mas_root, rcu_dereference_check",
            "store_range()",
        )
        for function in (
            "VmaIterator.next",
            "VmaTree.find",
            "VmaTree.find_slot",
            "VmaTree.find_before",
            "VmaTree.__iter__",
        )
    ),
    *(
        Row(Site(function, "load root"), ONCE, "lib/maple_tree.c:mas_root_locked", _STABLE)
        for function in ("store_range", "lowest_gap", "highest_gap")
    ),
)

_RWSEM = (
    *(
        row
        for function in ("down_read", "down_read_trylock", "down_write")
        for row in (
            Row(
                Site(f"RwSemaphore.{function}", "lock"),
                ACQUIRE,
                f"{_RWSEM_C}:rwsem_read_trylock, rwsem_write_trylock",
                "RwSemaphore.up_read(), RwSemaphore.up_write()",
            ),
            Row(
                Site(f"RwSemaphore.{function}", "unlock"),
                ONCE,
                f"{_RWSEM_C}:rwsem_read_trylock, rwsem_write_trylock",
                "nothing",
            ),
        )
    ),
    *(
        row
        for function in ("up_read", "_leave_write")
        for row in (
            Row(
                Site(f"RwSemaphore.{function}", "lock"),
                ONCE,
                f"{_RWSEM_C}:__up_read, __up_write, __downgrade_write",
                "nothing",
            ),
            Row(
                Site(f"RwSemaphore.{function}", "unlock"),
                RELEASE,
                f"{_RWSEM_C}:__up_read, __up_write, __downgrade_write",
                "RwSemaphore.down_read(), RwSemaphore.down_write()",
            ),
        )
    ),
    *(
        Row(Site(f"RwSemaphore.{function}", what), ONCE, f"{_RWSEM_C}: {source}", "nothing")
        for what in ("lock", "unlock")
        for function, source in (
            ("_count_wait", "none: a statistic"),
            ("is_locked", "rwsem_is_locked, atomic_long_read"),
            ("is_contended", "rwsem_is_contended, list_empty"),
        )
    ),
    Row(
        Site("RwSemaphore._give_up", "lock"),
        ACQUIRE,
        f"{_RWSEM_C}:rwsem_down_write_slowpath, wait_lock",
        "_hand_over()",
    ),
    Row(
        Site("RwSemaphore._give_up", "unlock"),
        RELEASE,
        f"{_RWSEM_C}:rwsem_down_write_slowpath, wait_lock",
        "_hand_over()",
    ),
    Row(
        Site("RwSemaphore._hand_over", "store granted"),
        RELEASE,
        f"{_RWSEM_C}:rwsem_mark_wake, smp_store_release of waiter->task",
        "RwSemaphore._is_in()",
    ),
    Row(
        Site("RwSemaphore._is_in", "load granted"),
        ACQUIRE,
        f"{_RWSEM_C}:rwsem_down_read_slowpath, smp_load_acquire of waiter.task",
        "RwSemaphore._hand_over()",
    ),
    Row(
        Site("RwSemaphore._give_up", "load granted"),
        ONCE,
        f"{_RWSEM_C}:rwsem_down_read_slowpath, under wait_lock",
        _STABLE,
    ),
)

_OTHER_LOCKS = (
    Row(
        Site("SeqFile.read", "lock"),
        ACQUIRE,
        "fs/seq_file.c:seq_read_iter, mutex_lock",
        "its unlock",
    ),
    Row(
        Site("SeqFile.read", "unlock"),
        RELEASE,
        "fs/seq_file.c:seq_read_iter, mutex_unlock",
        "its lock",
    ),
    Row(Site("", "lock"), SPINLOCK, "include/linux/spinlock.h:spin_lock", "its unlock"),
    Row(Site("", "unlock"), SPINLOCK, "include/linux/spinlock.h:spin_unlock", "its lock"),
)

_REFERENCES = (
    # Linux's are full barriers, but for mmgrab(). What holds with less holds with them.
    Row(
        Site("mmget_not_zero", "add_not_zero"),
        ACQ_REL,
        "include/linux/sched/mm.h:mmget_not_zero, atomic_inc_not_zero",
        "mmput()",
    ),
    Row(Site("mmput", "add"), ACQ_REL, "kernel/fork.c:mmput, atomic_dec_and_test", "mmput()"),
    Row(Site("mmgrab", "add"), ONCE, "include/linux/sched/mm.h:mmgrab, atomic_inc", "nothing"),
    Row(
        Site("mmdrop", "add"),
        ACQ_REL,
        "include/linux/sched/mm.h:mmdrop, atomic_dec_and_test",
        "mmdrop()",
    ),
)

_PAGES = (
    Row(Site("", "load anon_vma"), ONCE, "mm/rmap.c, mm/vma.c: READ_ONCE or plain", _STABLE),
    *(
        Row(Site(function, "store anon_vma"), ONCE, f"mm/{where}", _STABLE)
        for function, where in (
            ("Vma.copy_from", "vma_init.c:vm_area_init_from"),
            ("VmaSlab.alloc", "vma_init.c:vm_area_alloc"),
            ("anon_vma_fork", "rmap.c:anon_vma_fork"),
            ("anon_vma_prepare", "rmap.c:__anon_vma_prepare, under page_table_lock"),
            ("unlink_anon_vmas", "rmap.c:unlink_anon_vmas"),
            ("_dup_anon_vma", "vma.c:dup_anon_vma"),
        )
    ),
    *(
        Row(Site(function, what), ONCE, "mm/rmap.c:anon_vma_*, under the family's lock", _STABLE)
        for function, what in (
            ("AnonVma.__init__", "add"),
            ("anon_vma_clone", "add"),
            ("anon_vma_prepare", "add"),
            ("anon_vma_fork", "add"),
            ("anon_vma_fork", "load"),
            ("unlink_anon_vmas", "add"),
        )
    ),
    Row(Site("", "load mapcount"), ONCE, "include/linux/mm.h:folio_mapcount", "nothing"),
    Row(Site("", "store mapcount"), ONCE, "mm/rmap.c: atomic_inc, atomic_dec", "nothing"),
    Row(Site("", "load dirty"), ONCE, "include/linux/page-flags.h:PageDirty", "nothing"),
    Row(Site("", "store dirty"), ONCE, "include/linux/page-flags.h:SetPageDirty", "nothing"),
    Row(Site("", "load reaped"), ONCE, "fs/proc/base.c:get_proc_task", "nothing"),
    Row(Site("", "store reaped"), ONCE, "kernel/exit.c:release_task", "nothing"),
    Row(Site("", "load mempolicy"), ONCE, "mm/mempolicy.c:get_task_policy", "nothing"),
    Row(Site("", "store mempolicy"), ONCE, "mm/mempolicy.c:do_set_mempolicy", "nothing"),
)

_ATTRIBUTES = (
    # Steps only where a reader copies them without a lock.
    *(
        row
        for field in GUARDED[Vma]
        for row in (
            Row(Site("", f"load {field}"), ONCE, "plain", _STABLE),
            Row(Site("", f"store {field}"), ONCE, "plain", _STABLE),
            Row(
                Site("Vma.copy_from", f"load {field}"),
                _FOUND,
                "none: the version of January 2024",
                "mmap_lock_speculate_retry()",
            ),
        )
    ),
)

ROWS = (
    *_READER,
    *_WRITER,
    *_WAKING,
    *_TREE,
    *_RWSEM,
    *_OTHER_LOCKS,
    *_REFERENCES,
    *_PAGES,
    *_ATTRIBUTES,
)
ORDERS: dict[Site, Order] = {row.site: row.order for row in ROWS}
"""What each access promises."""
