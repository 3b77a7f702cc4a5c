"""SharedLocation: one place of shared state, and the ways in which a step can touch it.

A location keeps its identity from schedule to schedule, although objects come and go: what the
scenario set up is restored before each run, and what a task makes during a run is named after the
task and after how many it had made before.
"""

from __future__ import annotations

from typing import Protocol

from untorn.check.runtime.message import Message

READ, WRITE, COUNT, COUNT_IN, COUNT_OUT, ACQUIRE, TAKE, NEVER = range(8)
"""What a step does.

READ, WRITE  of a field or counter, in one piece.
COUNT        a reader counts itself in or out of a counter; commutes with other COUNTs.
COUNT_IN, COUNT_OUT   the same, before it is known: at the moment of the step it becomes COUNT,
             READ (refused) or WRITE (the count is where order matters), see AtomicInt.kind_of().
ACQUIRE      of a mutex; waits while it is held. The release is no step: no other task sees before
             it what was done under the mutex.
TAKE         of a wake-up; waits until there is one.
NEVER        a task that has ended.
"""

Clock = list[int]
"""For each task: how much of its past happened before; see trace.py."""

Recent = tuple[tuple[int, int, int, int], ...]
"""Steps that a later one may conflict with: kind, task, tick, index in the schedule."""


class Counter(Protocol):
    """A counter at a location: it decides what COUNT_IN and COUNT_OUT become."""

    value: int

    def kind_of(self, kind: int) -> int:
        """Return what COUNT_IN or COUNT_OUT is at this moment: COUNT, READ or WRITE."""


class SharedLocation:
    """One place.

    Attributes:
        name: For people.
        blocked: Whether ACQUIRE and TAKE have to wait.
        idle: The value of blocked when a run begins.
        counter: The counter at this place, if there is one.
        recent: Steps of this run that a later one may conflict with.
        released: The clock of the last release of a mutex.
        messages: What loads may see, under weak memory: the stores of this run, in their order.
        handed: What the last release of a mutex hands on, under weak memory.
    """

    __slots__ = (
        "blocked",
        "counter",
        "handed",
        "idle",
        "messages",
        "name",
        "recent",
        "released",
    )

    def __init__(self, name: str, *, idle: bool = False, counter: Counter | None = None) -> None:
        self.name = name
        self.blocked = self.idle = idle
        self.counter = counter
        self.recent: Recent = ()
        self.released: Clock | None = None
        self.messages: tuple[Message, ...] = ()
        self.handed: Message | None = None

    def __repr__(self) -> str:
        return self.name


def conflict(done: int, pending: int) -> bool:
    """Return whether a past step and one to come on the same location may conflict.

    COUNT_IN and COUNT_OUT commute with a COUNT: it was a COUNT because the count is far from where
    order matters, and that stays so until a step other than a COUNT.
    """
    if done == READ:
        # A pending COUNT_IN may become a READ; until it is made it counts as more.
        return pending != READ
    # After a WRITE everything conflicts; after a COUNT only what surely is no COUNT.
    return done != COUNT or pending not in (COUNT_IN, COUNT_OUT)
