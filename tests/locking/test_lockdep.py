"""The lock-order checker sees a contradiction before it becomes a deadlock."""

import pytest

from untorn.errors import LockOrderError
from untorn.locking import lockdep
from untorn.locking.lockdep import LockClass
from untorn.locking.rcu import rcu_read_lock, rcu_read_unlock
from untorn.locking.rwsem import RwSemaphore

A, B, C = LockClass("A"), LockClass("B"), LockClass("C")


def take(*classes: LockClass, trylock: bool = False) -> None:
    """Take locks of these classes, each under the one before, and release them."""
    for lock_class in classes:
        lockdep.acquire(lock_class, lock_class, trylock=trylock)
    for lock_class in reversed(classes):
        lockdep.release(lock_class, lock_class)


def test_two_orders_that_contradict_are_refused_with_both_chains() -> None:
    take(A, B)
    lockdep.acquire(B, B)
    with pytest.raises(LockOrderError) as caught:
        lockdep.acquire(A, A)
    lockdep.release(B, B)
    text = str(caught.value)
    assert "asked for A while holding B" in text
    assert "seen before: A -> B" in text
    assert "in take" in text, "the report names where the older order was first seen"


def test_a_cycle_of_three_is_found() -> None:
    take(A, B)
    take(B, C)
    lockdep.acquire(C, C)
    with pytest.raises(LockOrderError, match="A -> B -> C"):
        lockdep.acquire(A, A)
    lockdep.release(C, C)


def test_a_trylock_adds_no_order() -> None:
    take(A, B, trylock=True)
    take(B, A)


def test_a_lock_taken_under_a_trylock_is_ordered_after_it() -> None:
    lockdep.acquire(A, A, trylock=True)
    take(B)
    lockdep.release(A, A)
    lockdep.acquire(B, B)
    with pytest.raises(LockOrderError):
        lockdep.acquire(A, A)
    lockdep.release(B, B)


def test_releasing_a_lock_that_is_not_held_is_an_error() -> None:
    with pytest.raises(LockOrderError, match="does not hold"):
        lockdep.release(A, A)


def test_a_lock_left_behind_is_named() -> None:
    lockdep.acquire(A, A)
    with pytest.raises(LockOrderError, match="still holds A"):
        lockdep.assert_nothing_held()
    lockdep.release(A, A)


def test_nobody_sleeps_under_rcu() -> None:
    sem = RwSemaphore(A)
    rcu_read_lock()
    with pytest.raises(LockOrderError, match="may sleep for A under RCU"):
        sem.down_read()
    assert sem.down_read_trylock(), "a trylock does not sleep"
    sem.up_read()
    rcu_read_unlock()
    sem.down_read()
    sem.up_read()


def test_by_default_it_is_off_and_sees_nothing() -> None:
    lockdep.on = False
    try:
        sem = RwSemaphore(A)
        sem.down_read()
        sem.down_read()
        sem.up_read()
        sem.up_read()
    finally:
        lockdep.on = True
