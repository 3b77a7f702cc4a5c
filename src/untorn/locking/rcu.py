"""RCU read sections.

The kernel needs RCU to keep tree nodes and VMA memory from being freed under a lockless walker.
Here a reference does that: nodes are immutable values that live as long as something refers to
them, and VMA objects are recycled only as VMA objects (type-safe memory), which is all that RCU
promises for them in Linux too. What remains of a read section is its rule: a task must not sleep
inside. lockdep watches it. So, as on a kernel without preemption, a section costs nothing.
"""

from untorn.locking import lockdep

RCU = lockdep.LockClass("RCU", spins=True)


def rcu_read_lock() -> None:
    """Enter a read section; sections nest."""
    if lockdep.on:
        # It never waits, so it adds no order and may be entered under any lock.
        lockdep.acquire(RCU, None, trylock=True)


def rcu_read_unlock() -> None:
    """Leave the innermost read section."""
    if lockdep.on:
        lockdep.release(RCU, None)


def rcu_read_lock_held() -> bool:
    """Say whether the current task is in a read section; true where lockdep is off."""
    # Assertions ask this, and must not fail where sections are not counted.
    return not lockdep.on or lockdep.is_held(RCU, None)
