"""Knowledge: what a task can no longer miss, and what its stores pass on.

This is the semantics of weak memory, in views (see docs/weak-memory.md): a store is made at once
and in the order of the program, but a load may read any message that its task cannot be sure is
overwritten. Each message has a view, and orders say which view goes where:

- an acquire adds the view of what it reads to its task's; a relaxed load keeps it pending until a
  barrier orders what follows after the load;
- a release hands on all that its task knows or has pending; a relaxed store hands on what was
  known at the last barrier, and, on a machine where a store that one other CPU sees is seen by
  all (`linux`, and not `linux-strict`), what was learnt from others;
- a read-modify-write reads the last message, and hands on its view.

It departs from the known views (Kang and others, A Promising Semantics, POPL 2017) to match Linux's
model: a release covers loads that are pending; smp_wmb covers one's own stores only; two loads that
saw an old and a new state of something are ordered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from untorn.check.memory.orders import Order
from untorn.check.runtime.location import SharedLocation
from untorn.check.runtime.message import NOTHING, Message, View, join

Pending = tuple[tuple[SharedLocation, int, View], ...]
"""Relaxed loads: the place, the number of the message, and its view."""
EVERYWHERE = "everywhere"


class Knowledge:
    """The knowledge of one task at one moment; a step makes a new one.

    Attributes:
        cur: What it can no longer miss.
        pend: Views of what it loaded without order.
        rel: What its relaxed stores hand on: what was known at the last barrier.
        obs: What it learned from others.
        dep: The views of pointers that it loaded, for accesses through them.
        stored: Views of its stores since the last barrier.
        loads: Where pend comes from.
    """

    __slots__ = ("cur", "dep", "loads", "obs", "pend", "rel", "stored")

    def __init__(self) -> None:
        self.cur = self.pend = self.rel = self.obs = self.dep = self.stored = NOTHING
        self.loads: Pending = ()

    def copy(self) -> Knowledge:
        """Return a copy that may be changed."""
        new = Knowledge.__new__(Knowledge)
        new.cur, new.pend, new.rel, new.obs = self.cur, self.pend, self.rel, self.obs
        new.dep, new.stored, new.loads = self.dep, self.stored, self.loads
        return new

    def floor(self, location: SharedLocation, order: Order) -> int:
        """Return the number of the oldest message that a load may see."""
        oldest = self.cur.get(location, 0)
        return max(oldest, self.dep.get(location, 0)) if order.through else oldest

    def see(self, location: SharedLocation, number: int) -> None:
        """Record that a message was read or stored: from now on no older one can be read."""
        if number > self.cur.get(location, 0):
            self.cur = {**self.cur, location: number}

    def learn(self, location: SharedLocation, number: int, view: View, order: Order) -> None:
        """Learn the view of what was read from another task."""
        if not view:
            return
        if order.acquire:
            self.acquire(view)
        elif (location, number, view) not in self.loads:
            self.pend = join(self.pend, view)
            self.loads = (*self.loads, (location, number, view))
        if order.dereferences:
            self.dep = join(self.dep, view)

    def acquire(self, view: View) -> None:
        """Order all that follows after what a view knows."""
        for location, number, pending in self.loads:
            # An earlier load saw something older than what is known now, so it came before.
            if view.get(location, -1) > number:
                self.cur = join(self.cur, pending)
                self.obs = join(self.obs, pending)
        self.cur = join(self.cur, view)
        self.obs = join(self.obs, view)

    def order_loads(self) -> None:
        """Order all that follows after the loads so far: smp_rmb."""
        if self.pend:
            self.cur = join(self.cur, self.pend)
            self.obs = join(self.obs, self.pend)
            self.pend, self.loads = NOTHING, ()

    def order_stores(self, task: int, tick: int) -> None:
        """Order later stores after the stores so far: smp_wmb."""
        self.rel = join(join(self.rel, self.stored), {~task: tick})
        self.stored = NOTHING

    def order_all(self, everywhere: View, own: View, *, strict: bool) -> View:
        """Order all that follows after all so far, anywhere: smp_mb; return what is known.

        Args:
            everywhere: What the barriers of all tasks have made known so far.
            own: The task with its ticks.
            strict: See handed_on().
        """
        self.order_loads()
        self.acquire(everywhere)
        known = join(self.cur, own)
        if strict:
            known = join(known, {(EVERYWHERE, place): n for place, n in _weakly(known)})
            self.cur = join(self.cur, known)
        self.rel, self.stored = known, NOTHING
        return known

    def handed_on(self, order: Order, task: int, tick: int, *, strict: bool) -> View:
        """Return the view of a store.

        Args:
            order: Of the store.
            task: The task that makes it.
            tick: How many of its ticks a release hands on.
            strict: Whether a relaxed store passes on nothing learned from others, unless a barrier
                has made it known everywhere.
        """
        if order.release:
            return join(join(self.cur, self.pend), {task: tick})
        if strict:
            return join(self.rel, everywhere(self.cur))
        return join(join(self.rel, self.obs), self.pend)


def stores_known(view: View, task: int) -> int:
    """Return how many ticks' stores of a task come before what has a view.

    A tick that is known as ~task is known for its stores only: smp_wmb does not order loads.
    """
    return max(view.get(task, 0), view.get(~task, 0))


def _weakly(view: View) -> list[tuple[Any, int]]:
    return [(place, number) for place, number in view.items() if type(place) is not tuple]


def everywhere(view: View) -> View:
    """Return the part of a view that is known to all later tasks."""
    known: View = {}
    for place, number in view.items():
        if type(place) is tuple:
            known[place] = number
            known[place[1]] = number
    return known


def is_dominated(message: Message, others: Sequence[Message]) -> bool:
    """Return whether one of some older messages lets a load do all that this one does, and more.

    It has the same value, and brings no knowledge that this one does not.
    """
    value, view = message.value, message.view
    for other in others:
        same = other.value is value or (type(value) is int and other.value == value)
        if same and join(view, other.view) is view:
            return True
    return False
