"""The lock-order checker: off by default, on in tests.

It watches the running code and records which lock classes are taken while which others are held.
It refuses the first request that closes a cycle, before any task can deadlock. It also refuses
to sleep under RCU. Compare kernel/locking/lockdep.c.

A run that passes proves that no two lock orders seen so far contradict each other. It says nothing
about orders that no test has taken. A trylock cannot deadlock, so it adds no order; a lock taken
while holding it does.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from untorn.errors import LockOrderError
from untorn.locking import sync

on = False
"""Whether the lock code calls acquire() and release(). When off, it costs one load of this flag."""


class LockClass(NamedTuple):
    """All locks of one kind. The order is between classes, not between individual locks."""

    name: str
    spins: bool = False
    """A task that holds it must not sleep (an RCU read-side critical section)."""


class Held(NamedTuple):
    """One entry of Task.held_locks."""

    lock_class: LockClass
    lock: object


# _seen[a][b] is the stack where b was first taken under a: an edge of the order graph. The inner
# dictionaries are replaced, never changed in place.
_seen: dict[LockClass, dict[LockClass, str]] = {}
_mutex = sync.Mutex()  # protects _seen; innermost: no lock is taken under it


@contextmanager
def enabled() -> Iterator[None]:
    """Check the order of all locks that the body takes. Start with no known orders."""
    global on, _seen
    # The body must start with no lock held: held_locks misses locks that were taken before.
    before, on, _seen = (on, _seen), True, {}
    try:
        yield
    finally:
        on, _seen = before


def acquire(
    lock_class: LockClass, lock: object, *, trylock: bool = False, nested: bool = False
) -> None:
    """Record that the current task takes lock. Call this before the task can block.

    Args:
        lock_class: The class of the lock.
        lock: The lock itself.
        trylock: The task will not wait for the lock.
        nested: The lock may be taken under another one of its class; the caller orders the two.

    Raises:
        LockOrderError: the reverse order was seen before, or the task would sleep under RCU.
    """
    task = sync.current()
    # A task whose trylock fails goes on without the lock, so the trylock cannot be part of a
    # deadlock. A lock that is held can be, so held_locks records each lock, however it was taken.
    if not trylock:
        if not lock_class.spins:
            might_sleep(lock_class.name)
        for held in _held(task):
            # Taking two locks of one class is a cycle of length one, unless the caller knows that
            # a rule orders the two (a parent's mmap_lock comes before its new child's).
            if not (nested and held.lock_class is lock_class):
                _order(held.lock_class, lock_class, task)
    task.held_locks = (*task.held_locks, Held(lock_class, lock))


def release(lock_class: LockClass, lock: object) -> None:
    """Record that the current task releases lock.

    Raises:
        LockOrderError: the task does not hold it.
    """
    task = sync.current()
    held = list(_held(task))
    # Locks need not be released in reverse order: lock_vma_under_rcu() leaves RCU, which it entered
    # first, and keeps the VMA locked. RCU nests, so of equal entries the last one is removed.
    for entry in reversed(held):
        if entry.lock_class is lock_class and entry.lock is lock:
            held.remove(entry)
            task.held_locks = tuple(held)
            return
    raise LockOrderError(f"{task.name} released {lock_class.name}, which it does not hold")


def is_held(lock_class: LockClass, lock: object) -> bool:
    """Return whether the current task holds lock."""
    return any(h.lock_class is lock_class and h.lock is lock for h in _held(sync.current()))


def might_sleep(what: str) -> None:
    """Check that the current task is allowed to sleep.

    Raises:
        LockOrderError: it is in an RCU read-side critical section.
    """
    task = sync.current()
    # Every lock that may wait asks this, whether or not it has to wait this time. So one run on an
    # idle machine finds the bug.
    for held in _held(task):
        if held.lock_class.spins:
            raise LockOrderError(f"{task.name} may sleep for {what} under {held.lock_class.name}")


def assert_nothing_held() -> None:
    """Check that the current task holds no lock.

    Raises:
        LockOrderError: it holds at least one lock; the message names all of them.
    """
    task = sync.current()
    if task.held_locks:
        names = ", ".join(held.lock_class.name for held in _held(task))
        raise LockOrderError(f"{task.name} still holds {names}")


def _held(task: sync.Task) -> tuple[Held, ...]:
    # held_locks has no narrower type because sync, one layer below, cannot import Held.
    return tuple(entry for entry in task.held_locks if isinstance(entry, Held))


def _order(outer: LockClass, inner: LockClass, task: sync.Task) -> None:
    with _mutex:
        # A known edge was checked when it was added.
        if inner in _seen.get(outer, {}):
            return
        # outer -> inner closes a cycle if a path already leads from inner to outer. The lock is not
        # taken yet, so the report replaces the deadlock, and does not depend on any task waiting.
        chain = _path(inner, outer)
        if chain:
            raise LockOrderError(_report(outer, inner, chain, task))
        # A later report shows the stack of the task that first took this order.
        here = f"{task.name}\n" + "".join(traceback.format_stack(limit=8)[:-2])
        _seen[outer] = {**_seen.get(outer, {}), inner: here}


def _path(start: LockClass, goal: LockClass) -> list[LockClass]:
    """Return a shortest chain of seen orders from start to goal, or an empty list."""
    # The search is breadth-first, so the chain is a shortest one. If start is goal, the class is
    # taken under itself, and the chain has one element.
    chains = [[start]]
    visited = [start]
    for chain in chains:
        if chain[-1] == goal:
            return chain
        for after in _seen.get(chain[-1], {}):
            if after not in visited or after == goal:
                visited.append(after)
                chains.append([*chain, after])
    return []


def _report(outer: LockClass, inner: LockClass, chain: list[LockClass], task: sync.Task) -> str:
    older = " -> ".join(c.name for c in chain)
    first = _seen[chain[0]][chain[1]] if len(chain) > 1 else "it is already held"
    return (
        f"lock order: {task.name} asked for {inner.name} while holding {outer.name}; "
        f"seen before: {older}, first by {first}"
    )
