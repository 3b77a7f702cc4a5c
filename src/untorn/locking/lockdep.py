"""The lock-order checker: off by default, on in tests.

It learns, from what the running code does, which class of lock was taken while which other was
held, and refuses the first request that closes a circle, before anyone can deadlock in it.
It also refuses to sleep under RCU. Compare kernel/locking/lockdep.c.

Passing means: no two orders seen so far contradict each other. Orders that no test took are not
judged. A trylock cannot deadlock, so it adds no order; what is taken under it does.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from untorn.errors import LockOrderError
from untorn.locking import sync

on = False
"""Whether the lock code reports here. It tests this itself, to cost one load when off."""


class LockClass(NamedTuple):
    """All locks of one kind; order holds between classes, not between single locks."""

    name: str
    spins: bool = False
    """A task that holds it must not sleep (an RCU read section)."""


class Held(NamedTuple):
    """One entry of Task.held_locks."""

    lock_class: LockClass
    lock: object


# _seen[a][b]: where b was first taken under a: the edges of the graph of orders. The inner
# dictionaries are replaced, never changed in place.
_seen: dict[LockClass, dict[LockClass, str]] = {}
_mutex = sync.Mutex()  # protects _seen; innermost, nothing is taken under it


@contextmanager
def enabled() -> Iterator[None]:
    """Check the order of all locks taken inside, from a clean slate."""
    global on, _seen
    # Only for code that starts with no lock held: what was taken before is not in held_locks.
    before, on, _seen = (on, _seen), True, {}
    try:
        yield
    finally:
        on, _seen = before


def acquire(
    lock_class: LockClass, lock: object, *, trylock: bool = False, nested: bool = False
) -> None:
    """Note that the current task takes lock; call it before it can block.

    Args:
        lock_class: Of the lock.
        lock: The single lock.
        trylock: It will not wait.
        nested: It may be taken under another lock of its class: some rule orders the two.

    Raises:
        LockOrderError: another order was seen before, or the task would sleep under RCU.
    """
    task = sync.current()
    # A trylock that fails goes on without the lock, so it cannot be part of a deadlock. Once it
    # holds the lock it can: held_locks below gets every lock, however it was taken.
    if not trylock:
        if not lock_class.spins:
            might_sleep(lock_class.name)
        for held in _held(task):
            # Two locks of one class would be a circle of one class. The caller says that some rule
            # orders the two (a parent's mmap_lock comes before its new child's).
            if not (nested and held.lock_class is lock_class):
                _order(held.lock_class, lock_class, task)
    task.held_locks = (*task.held_locks, Held(lock_class, lock))


def release(lock_class: LockClass, lock: object) -> None:
    """Note that the current task lets go of lock.

    Raises:
        LockOrderError: the task does not hold it.
    """
    task = sync.current()
    held = list(_held(task))
    # Locks need not be released in reverse order: lock_vma_under_rcu() leaves RCU, which it entered
    # first, and keeps the VMA. The last of equal entries goes, as sections of RCU nest.
    for entry in reversed(held):
        if entry.lock_class is lock_class and entry.lock is lock:
            held.remove(entry)
            task.held_locks = tuple(held)
            return
    raise LockOrderError(f"{task.name} released {lock_class.name}, which it does not hold")


def is_held(lock_class: LockClass, lock: object) -> bool:
    """Say whether the current task holds lock."""
    return any(h.lock_class is lock_class and h.lock is lock for h in _held(sync.current()))


def might_sleep(what: str) -> None:
    """Refuse to go on if the current task must not sleep.

    Raises:
        LockOrderError: it is inside an RCU read section.
    """
    task = sync.current()
    # Asked of every lock that may wait, whether or not it would wait this time: so one run on an
    # idle machine is enough to find it.
    for held in _held(task):
        if held.lock_class.spins:
            raise LockOrderError(f"{task.name} may sleep for {what} under {held.lock_class.name}")


def assert_nothing_held() -> None:
    """Check that the current task holds no lock.

    Raises:
        LockOrderError: it holds some; the message names them.
    """
    task = sync.current()
    if task.held_locks:
        names = ", ".join(held.lock_class.name for held in _held(task))
        raise LockOrderError(f"{task.name} still holds {names}")


def _held(task: sync.Task) -> tuple[Held, ...]:
    # sync, which stands below, cannot name the type of the entries.
    return tuple(entry for entry in task.held_locks if isinstance(entry, Held))


def _order(outer: LockClass, inner: LockClass, task: sync.Task) -> None:
    with _mutex:
        # An edge that is there was checked when it was added.
        if inner in _seen.get(outer, {}):
            return
        # outer -> inner closes a circle if inner leads to outer already. The lock is not taken yet,
        # so the report comes instead of the deadlock, and also if no task waits just now.
        chain = _path(inner, outer)
        if chain:
            raise LockOrderError(_report(outer, inner, chain, task))
        # The stack of the task that first took this order: a later report needs it.
        here = f"{task.name}\n" + "".join(traceback.format_stack(limit=8)[:-2])
        _seen[outer] = {**_seen.get(outer, {}), inner: here}


def _path(start: LockClass, goal: LockClass) -> list[LockClass]:
    """Return a chain of seen orders from start to goal, or nothing."""
    # Breadth first, so that the chain reported is a shortest one. A class that is taken under
    # itself is the chain of one element.
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
