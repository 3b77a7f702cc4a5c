"""RCU read-side critical sections.

The kernel needs RCU to keep tree nodes and VMA memory from being freed under a lockless walker.
Here references do that. Nodes are immutable values that live as long as something refers to them.
VMA objects are recycled only as VMA objects (type-safe memory), and Linux's RCU promises no more
for them either. One rule remains, and lockdep checks it: a task must not sleep in a read-side
critical section. When lockdep is off, entering one costs nothing, as on a kernel without
preemption.
"""

from untorn.locking import lockdep

RCU = lockdep.LockClass("RCU", spins=True)


def rcu_read_lock() -> None:
    """Enter a read-side critical section. These nest."""
    if lockdep.on:
        # rcu_read_lock() never waits, so it adds no order and is allowed under any lock.
        lockdep.acquire(RCU, None, trylock=True)


def rcu_read_unlock() -> None:
    """Leave the innermost read-side critical section."""
    if lockdep.on:
        lockdep.release(RCU, None)


def rcu_read_lock_held() -> bool:
    """Return whether the current task is in an RCU critical section; true if lockdep is off."""
    # Assertions call this. They must not fail when lockdep is off and nothing is recorded.
    return not lockdep.on or lockdep.is_held(RCU, None)
