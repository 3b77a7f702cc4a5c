"""Watched slots and primitives under weak memory: the trace decides what each load sees.

They replace those of check/runtime while such a mode is installed, so sequential consistency pays
nothing for them.
"""

from __future__ import annotations

import sys
from functools import cache
from types import FrameType
from typing import Any, cast

from untorn.check.memory.orders import ACQ_REL, Fence, Order
from untorn.check.memory.sites import FOUND, order_at
from untorn.check.memory.weak_trace import Refuses, WeakTrace
from untorn.check.runtime import counter, primitives, running
from untorn.check.runtime.fields import Guarded, Point
from untorn.check.runtime.location import COUNT_IN, READ, WRITE, SharedLocation
from untorn.check.runtime.message import Message


def _trace() -> WeakTrace | None:
    """Return the trace of the run at work; None if nobody looks, or a task only cleans up."""
    run = running.run
    return None if run is None or run.over else cast(WeakTrace, run.trace)


def announce(
    trace: WeakTrace, order: Order, *, rmw: bool = False, refuses: Refuses | None = None
) -> None:
    """Let the running task announce an access of some order, after the barrier before it."""
    run = running.run
    assert run is not None
    if order.before is not None:
        make_fence(trace, order.before)
    if rmw:
        trace.announce(run.current, order, rmw=True, refuses=refuses)
    else:
        trace.orders[run.current] = order


def make_fence(trace: WeakTrace, fence: Fence) -> None:
    """Make a barrier of the running task."""
    run = running.run
    assert run is not None
    if fence is Fence.MB:
        trace.announce(run.current, ACQ_REL)
        running.point(trace.barriers, WRITE)
    else:
        trace.fence(run.current, fence)


class WeakPoint(Point):
    """A slot whose accesses are steps, and whose loads may see an older value."""

    __slots__ = ()

    def descriptor(self) -> property:
        """Return the property."""
        cells, adopt, delete, alias = self.cells, self._adopt, self.slot.__delete__, self.alias
        load, store, drop = (f"{what} {self.name}" for what in ("load", "store", "delete"))

        def fget(owner: Any) -> object:
            cell: Any = cells.get(owner)
            trace = None if cell is None else _trace()
            if trace is None:
                return owner.slot
            frame = sys._getframe(1)
            order = FOUND.get((id(frame.f_code), frame.f_lasti)) or order_at(frame, load)
            if not cell.messages:
                cell.messages = (Message(owner.slot),)
            announce(trace, order)
            running.point(cell, READ)
            taken = trace.taken
            assert taken is not None
            # The slot has the newest, if it has anything: what is gone is gone.
            value = owner.slot if taken is cell.messages[-1] else taken.value
            if order.after is not None:
                make_fence(trace, order.after)
            return value

        def fset(owner: Any, value: object) -> None:
            cell: Any = cells.get(owner)
            if cell is None:
                adopt(owner)
                if (made := cells.get(owner)) is not None:
                    _set_up(made, value)
            trace = None if cell is None else _trace()
            after = None
            if trace is not None:
                order = order_at(sys._getframe(1), store)
                if not cell.messages:
                    cell.messages = (Message(getattr(owner, alias, None)),)
                announce(trace, order)
                running.point(cell, WRITE)
                assert trace.taken is not None
                trace.taken.value = value
                after = order.after
            owner.slot = value
            if self.stored is not None:
                self.stored(owner, value)
            if trace is not None and after is not None:
                make_fence(trace, after)

        def fdel(owner: Any) -> None:
            cell: Any = cells.get(owner)
            trace = None if cell is None else _trace()
            if trace is not None:
                if not cell.messages:
                    cell.messages = (Message(owner.slot),)
                announce(trace, order_at(sys._getframe(1), drop))
                running.point(cell, WRITE)
            delete(owner)

        return property(self.direct(fget), self.direct(fset), fdel)


def _set_up(cell: SharedLocation, value: object) -> None:
    """Let an object that a task is making have its first value."""
    # Of steps that are kept the messages stand already; the object is another one.
    if cell.messages:
        cell.messages[0].value = value
    else:
        cell.messages = (Message(value),)


class Unguarded(Guarded):
    """A guarded slot of what is a primitive of Linux: its lock's own words."""

    __slots__ = ()

    def descriptor(self) -> Any:
        """Return the slot itself."""
        return self.slot


class AtomicInt(counter.AtomicInt):
    """An integer whose operations have the orders of Linux's atomic_t and refcount_t."""

    __slots__ = ()

    def __init__(self, value: int = 0) -> None:
        super().__init__(value)
        if running.run is not None:
            _set_up(self.location, value)

    def _begin(
        self, what: str, *, rmw: bool = False, refuses: Refuses | None = None
    ) -> tuple[WeakTrace | None, Order | None]:
        trace = _trace()
        if trace is None:
            return None, None
        order = order_at(sys._getframe(2), what)
        if not self.location.messages:
            self.location.messages = (Message(self.value),)
        announce(trace, order, rmw=rmw, refuses=refuses)
        return trace, order

    def _end(self, trace: WeakTrace, order: Order) -> None:
        """Note what was made of the value."""
        if not trace.refused:
            assert trace.taken is not None
            trace.taken.value = self.value
        if order.after is not None and not trace.refused:
            make_fence(trace, order.after)

    def load(self) -> int:
        """Return a value that it has or had."""
        trace, order = self._begin("load")
        if trace is None or order is None:
            return self.value
        running.point(self.location, READ)
        assert trace.taken is not None
        value: int = trace.taken.value
        if order.after is not None:
            make_fence(trace, order.after)
        return value

    def store(self, value: int) -> None:
        """Set the value."""
        trace, order = self._begin("store")
        super().store(value)
        if trace is not None and order is not None:
            self._end(trace, order)

    def add(self, delta: int) -> int:
        """Add delta; return the new value."""
        trace, order = self._begin("add", rmw=True)
        value = super().add(delta)
        if trace is not None and order is not None:
            self._end(trace, order)
        return value

    def add_not_zero(self, delta: int) -> bool:
        """Add delta unless the value is 0, or was."""
        trace, order = self._begin("add_not_zero", rmw=True, refuses=_is_zero)
        if trace is None or order is None:
            return super().add_not_zero(delta)
        running.point(self.location, COUNT_IN if delta == 1 else WRITE)
        if not trace.refused:
            if delta == 1:
                self._count(1)
            self.value += delta
        self._end(trace, order)
        return not trace.refused

    def inc_not_zero_limited(self, limit: int) -> int:
        """Add 1 unless the value is 0 or at least limit, or was; return the value found."""
        self._limit = limit
        trace, order = self._begin("inc_not_zero_limited", rmw=True, refuses=_is_out_of(limit))
        if trace is None or order is None:
            return super().inc_not_zero_limited(limit)
        running.point(self.location, COUNT_IN)
        if trace.refused:
            assert trace.taken is not None
            found: int = trace.taken.value
            return found
        self._count(1)
        before = self.value
        self.value += 1
        self._end(trace, order)
        return before


def _is_zero(value: int) -> bool:
    return value == 0


@cache
def _is_out_of(limit: int) -> Refuses:
    return lambda value: not 0 < value < limit


class Mutex(primitives.Mutex):
    """A spinlock of Linux; that of a semaphore has the orders of the semaphore's own word."""

    __slots__ = ()

    def acquire(self) -> bool:
        """Take it."""
        return self._acquire(sys._getframe(1))

    def release(self) -> None:
        """Let go."""
        self._release(sys._getframe(1))

    def __enter__(self) -> bool:
        return self._acquire(sys._getframe(1))

    def __exit__(self, *exc: object) -> None:
        self._release(sys._getframe(1))

    def _acquire(self, frame: FrameType) -> bool:
        trace = _trace()
        if trace is not None:
            announce(trace, order_at(frame, "lock"))
        return super().acquire()

    def _release(self, frame: FrameType) -> None:
        trace = _trace()
        if trace is not None:
            announce(trace, order_at(frame, "unlock"))
        super().release()


WEAK: dict[str, object] = {"Mutex": Mutex, "AtomicInt": AtomicInt}
"""By the name that sync knows each under."""
