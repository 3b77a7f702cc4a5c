"""WeakTrace: a schedule under weak memory: what each load saw, and what happened before what.

A step belongs to a task, and a load also to the message that it reads. A load with a given message
commutes with every store: their order cannot be seen. So happened-before consists of program order,
of each store before the loads that read it, of the stores to one place, and of mutexes. It does not
order a load before the store that it missed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

from untorn.check.memory.orders import ACQ_REL, ONCE, Fence, Order
from untorn.check.memory.views import Knowledge, is_dominated, stores_known
from untorn.check.runtime.location import ACQUIRE as LOCK
from untorn.check.runtime.location import (
    COUNT,
    COUNT_IN,
    READ,
    TAKE,
    WRITE,
    Clock,
    Recent,
    SharedLocation,
)
from untorn.check.runtime.message import Message, View, join
from untorn.check.runtime.trace import Guard, Trace, join_clock

Refuses = Callable[[Any], bool]
"""Says of a value whether a conditional read-modify-write leaves it alone."""
Step = tuple[int, int, int, int]
"""As in Recent: kind, task, tick, index in the schedule."""
BARRIERS = "smp_mb"
"""Name of the place of all full barriers."""
SET_UP = (Message(None),)
"""The initial message of a place without a value, such as that of a wake-up."""


class Made(NamedTuple):
    """A step that was made."""

    settled: int
    """The kind that it turned out to be."""
    conditional: Refuses | None
    """Of a conditional read-modify-write: what it leaves alone."""
    floor: int
    """The number of the oldest message that it could read."""
    earlier: tuple[Message, ...]
    """The messages before it."""
    taken: Message | None
    """The message that it read or stored; None of a mutex."""
    know: Knowledge
    """What its task knew after it."""

    @property
    def refused(self) -> bool:
        """Whether it was a read-modify-write that left what it found."""
        return self.settled == READ and self.conditional is not None


class WeakTrace(Trace):
    """One schedule under weak memory.

    Attributes:
        strict: See Knowledge.handed_on().
        taken: The message that the step at hand has read or stored.
        refused: It is a load, or a read-modify-write that left what it found.
        know: What each task can no longer miss.
        made: Of each step what it was.
        orders: Of each task the order of the step that it is about to announce.
        barriers: The place of all smp_mb.
    """

    __slots__ = (
        "_handed",
        "_refuses",
        "_rmw",
        "barriers",
        "know",
        "made",
        "orders",
        "refused",
        "taken",
    )
    strict: ClassVar = False

    def __init__(self) -> None:
        super().__init__()
        self.refused = False
        self.taken: Message | None = None
        self.barriers = SharedLocation(BARRIERS)
        self.know: list[Knowledge] = []
        self.made: list[Made] = []
        self.orders: list[Order] = []
        self._handed: list[SharedLocation] = []
        self._rmw: list[bool] = []
        self._refuses: list[Refuses | None] = []

    def begin(self, tasks: int, keep: int = 0) -> None:
        """Start a schedule whose first `keep` steps are those of the one before."""
        for location, made in zip(
            reversed(self.locations[keep:]), reversed(self.made[keep:]), strict=True
        ):
            location.messages = made.earlier
        del self.made[keep:]
        for location in self._handed:
            location.handed = None
        self._handed.clear()
        super().begin(tasks, keep)
        self.choice = 0
        self.know = [Knowledge() for _ in range(tasks)]
        self.orders = [ONCE] * tasks
        self._rmw = [False] * tasks
        self._refuses = [None] * tasks

    def announce(
        self, task: int, order: Order, *, rmw: bool = False, refuses: Refuses | None = None
    ) -> None:
        """Announce the details of a task's next step, except its place.

        For a plain load or store, orders is enough.

        Args:
            task: The task.
            order: Its order.
            rmw: It is a read-modify-write.
            refuses: If it is a conditional one: when it leaves what it finds.
        """
        self.orders[task], self._rmw[task], self._refuses[task] = order, rmw, refuses

    def announced(self, task: int) -> tuple[Order, Refuses | None]:
        """Return what was said."""
        return self.orders[task], self._refuses[task]

    def fence(self, task: int, fence: Fence) -> None:
        """Make a barrier that is no step: it affects only its own task."""
        know = self.know[task] = self.know[task].copy()
        if fence is Fence.RMB:
            know.order_loads()
        else:
            know.order_stores(task, self._tick(task))

    def _tick(self, task: int) -> int:
        """End a tick of a task; return the number of ticks."""
        # What the task does after it is not taken as part of it.
        clock = self.now[task] = self.now[task].copy()
        clock[task] += 1
        return clock[task]

    def options(self, task: int, location: SharedLocation, kind: int) -> list[int]:
        """Return the choices of a step that was announced, the newest message first.

        A step that can do one thing only has none.
        """
        refuses = self._refuses[task]
        if kind != READ and refuses is None:
            return []
        messages = location.messages
        newest = messages[-1]
        floor = self.know[task].floor(location, self.orders[task])
        if floor == newest.number:
            return [floor + 1]
        readable: list[Message] = []
        for message in messages[floor:]:
            if refuses is None or refuses(message.value):
                if not is_dominated(message, readable):
                    readable.append(message)
            elif message is newest:
                readable.append(message)  # it is changed, and so not left out for an older one
        return [message.number + 1 for message in reversed(readable)]

    def choose(self, task: int, location: SharedLocation, kind: int, choice: int) -> bool:
        """Let the task's next step see a message, or the newest; return whether it can."""
        choices = self.options(task, location, kind)
        self.choice = choice if choices and choice not in (0, choices[0]) else 0
        return choice == 0 or choice in choices

    def again(self, task: int, index: int) -> None:
        """Make a step again that was kept."""
        self.now[task] = self.clocks[index]
        settled, _, _, _, self.taken, self.know[task] = self.made[index]
        self.refused = settled == READ
        self._rmw[task], self._refuses[task] = False, None

    def record(self, task: int, location: SharedLocation, kind: int) -> int:
        """Note the step that task is about to make; return the kind that it turns out to be."""
        if location.idle:
            self.announce(task, ACQ_REL, rmw=True)  # of a wake-up, or the sleep that takes it
        earlier = location.messages
        messages = earlier or SET_UP
        known = self.now[task]
        clock = self.now[task] = known.copy()
        clock[task] += 1
        self.know[task] = self.know[task].copy()
        settled, found = self._settled_as(task, location, kind, messages, clock)
        self.refused = settled == READ
        entry = settled, task, known[task], len(self.tasks)
        before = location.recent
        if settled == READ:
            location.recent = self._order_load(entry, known, clock, location, found)
        else:
            location.recent = self._order_store(entry, kind, known, clock, location)
        floor = self.know[task].floor(location, self.orders[task])
        self._before.append(before)
        self.tasks.append(task)
        self.locations.append(location)
        self.clocks.append(clock)
        taken = self._pass_on(entry, kind, location, messages, found)
        know = self.know[task]
        self.made.append(Made(settled, self._refuses[task], floor, earlier, taken, know))
        self.taken = taken
        # What is announced next may be a plain load or store.
        self._rmw[task], self._refuses[task] = False, None
        return settled

    def _settled_as(
        self,
        task: int,
        location: SharedLocation,
        kind: int,
        messages: tuple[Message, ...],
        clock: Clock,
    ) -> tuple[int, Message]:
        """Return what a step turns out to be, and the message that it finds."""
        choice, self.choice = self.choice, 0
        found = messages[choice - 1] if choice else messages[-1]
        refuses = self._refuses[task]
        if kind == READ or (refuses is not None and refuses(found.value)):
            return READ, found
        if kind >= COUNT_IN:
            return self._settle(location, kind, clock), found
        if kind == WRITE and location.blocked:
            self._enabling.add(len(self.tasks))
        return kind, found

    def _order_load(
        self, entry: Step, known: Clock, clock: Clock, location: SharedLocation, found: Message
    ) -> Recent:
        _, task, _, index = entry
        recent = location.recent
        races = [
            step
            for kind, other, made, step in recent
            if kind == COUNT and made >= known[other] and step in found.steps
        ]
        refuses = self._refuses[task]
        if refuses is not None and (store := self._closing(location.messages, refuses)) is not None:
            other = self.tasks[store]
            if self.clocks[store][other] > known[other] and store not in races:
                races.append(store)
        if races:
            self.races[index] = races
        for step in found.steps:
            join_clock(clock, self.clocks[step])
        return (*recent, entry)

    @staticmethod
    def _closing(messages: tuple[Message, ...], refuses: Refuses) -> int | None:
        """Return the last store before which a read-modify-write would not have been refused."""
        for one, other in pairwise(reversed(messages)):
            if one.steps and not refuses(other.value):
                return one.steps[0]
        return None

    def _order_store(
        self, entry: Step, kind: int, known: Clock, clock: Clock, location: SharedLocation
    ) -> Recent:
        settled, task, _, index = entry
        recent, races = location.recent, []
        for other_kind, other, made, step in recent:
            # As in Trace, but for loads: a store that comes after one could have been read by it.
            # That is a race, and no order: the load has missed it, and nobody knows that.
            if made >= known[other] and (other_kind == WRITE or settled != other_kind):
                if other_kind != READ:
                    join_clock(clock, self.clocks[step])
                if kind != TAKE or step not in self._enabling:
                    races.append(step)
        if races:
            self.races[index] = races
        return (
            *(
                each
                for each in recent
                if (each[2] >= clock[each[1]] if each[0] == READ else settled != WRITE)
                and (each[0] != settled or each[1] != task)
            ),
            entry,
        )

    def _pass_on(
        self,
        entry: Step,
        kind: int,
        location: SharedLocation,
        messages: tuple[Message, ...],
        found: Message,
    ) -> Message | None:
        """Let the task learn from what it found, and store what it stores; return what it took."""
        settled, task, tick, index = entry
        know, order = self.know[task], self.orders[task]
        if kind == LOCK:
            self._take_over(location, task)
            return None
        if location is self.barriers:
            view = know.order_all(found.view, {task: tick + 1}, strict=self.strict)
            return self._store(location, messages, view, entry)
        know.see(location, found.number)
        if settled == READ:
            if not found.is_all_of(task):
                # A refused read-modify-write is a plain load.
                order = order if kind == READ else ONCE
                know.learn(location, found.number, found.view, order)
            return found
        if settled == COUNT:
            if found.task != task:
                know.learn(location, found.number, found.base, order)
            view = know.handed_on(order, task, tick + 1, strict=self.strict)
            counted = found.counted(join(found.view, view), task, index)
            location.messages = (*messages[:-1], counted)
            return counted
        changes = self._rmw[task] or kind == TAKE
        if changes and not found.is_all_of(task):
            know.learn(location, found.number, found.view, order)
        view = know.handed_on(order, task, tick + 1, strict=self.strict)
        return self._store(location, messages, join(view, found.view) if changes else view, entry)

    def _store(
        self, location: SharedLocation, messages: tuple[Message, ...], view: View, entry: Step
    ) -> Message:
        _, task, _, index = entry
        know, number = self.know[task], len(messages)
        view = {**view, location: number}
        know.see(location, number)
        know.stored = join(know.stored, view)
        message = Message(None, number, view, task, (index,))
        location.messages = (*messages, message)
        return message

    def _take_over(self, mutex: SharedLocation, task: int) -> None:
        """Let the task that takes a mutex learn what its last release passed on."""
        handed, know, order = mutex.handed, self.know[task], self.orders[task]
        if handed is None or handed.task == task:
            return
        if order.acquire:
            know.acquire(handed.view)
        else:
            know.pend = join(know.pend, handed.view)
        if order.spins:
            know.rel = join(know.rel, handed.view)

    def release(self, task: int, location: SharedLocation) -> None:
        """Note that a task released a mutex."""
        super().release(task, location)
        tick = self.now[task][task]
        view = self.know[task].handed_on(self.orders[task], task, tick, strict=self.strict)
        if location.handed is not None:
            view = join(view, location.handed.view)
        location.handed = Message(None, 0, view, task)
        self._handed.append(location)

    def last_known(self, steps: list[int], step: int) -> int:
        """Return the last of some steps that came before; the first of them is -1.

        That it was made before says nothing: another task may not see that.
        """
        return max(
            n for n, each in enumerate(steps) if each < 0 or self.happened_before(each, step)
        )

    def missed(self, first: int, last: int) -> list[int]:
        """Return stores that loads from one step of a task to another, its own, did not see."""
        found = []
        for step in range(first, last + 1):
            made, messages = self.made[step], self.locations[step].messages
            if self.tasks[step] == self.tasks[first] and made.settled == READ:
                assert made.taken is not None
                if made.taken.number + 1 < len(messages):
                    found.append(messages[made.taken.number + 1].steps[0])
        return found

    def seen_stale(self, step: int) -> tuple[object, object, int] | None:
        """Return what a load saw that did not see the newest store, what that stored, and its step.

        Preconditions: it is the last step.
        """
        message, newest = self.made[step].taken, self.locations[step].messages[-1:]
        if message is None or not newest or newest[0] is message:
            return None
        return message.value, newest[0].value, newest[0].steps[0]

    def load(self, task: int, guard: Guard) -> int | None:
        """Note a load of a protected field; return the task whose store it races with."""
        writer = guard.writer
        if writer < 0:
            if not guard.reads:
                self._guards.append(guard)
        elif writer != task and guard.written >= stores_known(self.know[task].cur, writer):
            return writer
        guard.reads[task] = self.now[task][task]
        return None

    def store(self, task: int, guard: Guard) -> int | None:
        """Note a store to a protected field; return the task whose access it races with."""
        know, writer = self.know[task], guard.writer
        if writer < 0:
            if not guard.reads:
                self._guards.append(guard)
        elif writer != task and guard.written >= _stores_known(know, writer):
            return writer
        for other, tick in guard.reads.items():
            if other != task and tick >= _known(know, other):
                return other
        guard.writer, guard.written = task, self.now[task][task]
        return None

    def is_race(self, earlier: int, step: int) -> bool:
        """Return whether a race counts: a load that could see a later store must gain by it."""
        load, store = self.made[earlier], self.made[step]
        if load.settled != READ or load.conditional is not None:
            return True
        if store.settled == COUNT or store.taken is None:
            return True
        return not is_dominated(store.taken, load.earlier[load.floor :])


class StrictTrace(WeakTrace):
    """One schedule under what Linux's memory model promises by the letter."""

    __slots__ = ()
    strict = True


def _stores_known(know: Knowledge, other: int) -> int:
    """Return how many ticks' stores of another task come before a store that is made now."""
    return max(stores_known(know.cur, other), stores_known(know.pend, other))


def _known(know: Knowledge, other: int) -> int:
    """Return how many ticks of another task come before a store that is made now."""
    # A store comes after earlier loads, at least by control dependencies.
    return max(know.cur.get(other, 0), know.pend.get(other, 0))
