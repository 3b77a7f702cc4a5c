"""The documented lock order, checked in each schedule separately.

This replaces lockdep's functions: lockdep learns its order from what it sees, so its verdict on a
schedule would depend on earlier ones. Here the order is the one stated in mm/__init__.py.
"""

from __future__ import annotations

from untorn.check.runtime.primitives import current
from untorn.errors import LockOrderError
from untorn.fs.seq_file import SEQ_LOCK
from untorn.locking.lockdep import LockClass
from untorn.mm.mm_types import MMAP_LOCK
from untorn.mm.vma_lock import VMA_LOCK

ORDER = (SEQ_LOCK, MMAP_LOCK, VMA_LOCK)
"""Outermost first."""
_RANK = {lock_class: rank for rank, lock_class in enumerate(ORDER)}


def acquire(
    lock_class: LockClass, lock: object, *, trylock: bool = False, nested: bool = False
) -> None:
    """Note that the current task takes lock; see lockdep.acquire()."""
    # Checked before the task can wait: the order is wrong in this schedule even if the lock happens
    # to be free. A trylock cannot deadlock.
    task = current()
    if task.held and not trylock:
        _check(lock_class, task.held, nested)
    # Recorded before it is held, because the report of a deadlock includes what a task asks for. If
    # it gives up, it releases what it never had, as with lockdep.
    task.held.append((lock_class, lock))
    if lock_class is MMAP_LOCK:
        task.mmap_locks += 1


def _check(lock_class: LockClass, held: list[tuple[LockClass, object]], nested: bool) -> None:
    # Of locks of one class only those may nest that a rule of their own orders: a parent's
    # mmap_lock and that of the child it makes.
    rank = _RANK[lock_class]
    for other, _ in held:
        if other.spins:
            raise LockOrderError(f"may sleep for {lock_class.name} under {other.name}")
        if _RANK[other] >= rank and not (nested and other is lock_class):
            raise LockOrderError(f"asked for {lock_class.name} while holding {other.name}")


def release(lock_class: LockClass, lock: object) -> None:
    """Note that the current task releases lock; see lockdep.release()."""
    # From the end: a lock that is held twice, as RCU can be, is left in the reverse order.
    held = current().held
    for i in range(len(held) - 1, -1, -1):
        if held[i][1] is lock and held[i][0] is lock_class:
            del held[i]
            return
    raise LockOrderError(f"released {lock_class.name}, which it does not hold")


def is_held(lock_class: LockClass, lock: object) -> bool:
    """Return whether the current task holds lock."""
    return (lock_class, lock) in current().held  # no lock is equal to another one


def held_of(lock_class: LockClass) -> int:
    """Return how many locks of a class the current task holds or waits for."""
    return sum(known is lock_class for known, _ in current().held)


def might_sleep(what: str) -> None:
    """Refuse to sleep under RCU."""
    # It does not matter whether it would have slept: in another schedule it does.
    for lock_class, _ in current().held:
        if lock_class.spins:
            raise LockOrderError(f"may sleep for {what} under {lock_class.name}")


OURS: dict[str, object] = {
    "on": True,
    "acquire": acquire,
    "release": release,
    "is_held": is_held,
    "might_sleep": might_sleep,
}
"""By the name that lockdep knows each under."""
