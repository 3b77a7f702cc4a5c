"""The steps of one schedule, and which of them happened before which.

Two steps conflict if they touch the same location and their order may matter; a step happened
before another if a chain of program order and conflicts leads from one to the other. All orders of
the steps that keep this relation have the same outcome, so one of them stands for all.

Each task counts its steps and releases in ticks. A clock says for each task how many of its ticks
happened before: something of task q at tick t did if and only if t < clock[q].
"""

from bisect import bisect_left

from untorn.check.runtime.location import (
    ACQUIRE,
    COUNT_IN,
    TAKE,
    WRITE,
    Clock,
    Recent,
    SharedLocation,
)


class Guard:
    """The accesses to a field that a lock protects.

    Attributes:
        name: For people.
        writer, written: Task and tick of the last store; -1 if there was none in this run.
        reads: Tick of each task's last load.
    """

    __slots__ = ("name", "reads", "writer", "written")

    def __init__(self, name: str) -> None:
        self.name = name
        self.writer = self.written = -1
        self.reads: dict[int, int] = {}


class Trace:
    """One schedule; the next one keeps the steps that they have in common.

    Attributes:
        tasks, locations, clocks: Of each step; its clock is what its task knows after it.
        races: Of a step, earlier ones that it conflicts with and that did not happen before it
            otherwise.
        choice: Which message the next step sees, where there are several: its number and 1; 0 for
            the newest.
        now: The clock of each task. A strategy that makes a step again that was kept puts that of
            the step there; record() does so for a new one.
    """

    __slots__ = (
        "_before",
        "_enabling",
        "_guards",
        "_released",
        "choice",
        "clocks",
        "locations",
        "now",
        "races",
        "tasks",
    )

    def __init__(self) -> None:
        self.tasks: list[int] = []
        self.locations: list[SharedLocation] = []
        self.clocks: list[Clock] = []
        self.races: dict[int, list[int]] = {}
        self.now: list[Clock] = []
        self.choice = 0
        self._before: list[Recent] = []  # of each step, what its location had before
        self._enabling: set[int] = set()  # steps without which a task would have slept on
        self._released: list[SharedLocation] = []
        self._guards: list[Guard] = []

    def begin(self, tasks: int, keep: int = 0) -> None:
        """Start a schedule whose first `keep` steps are those of the one before."""
        # A location keeps its recent steps itself, so what is undone is put back there: in reverse,
        # as each kept what stood there before it.
        for location, recent in zip(
            reversed(self.locations[keep:]), reversed(self._before[keep:]), strict=True
        ):
            location.recent = recent
        for column in self.tasks, self.locations, self.clocks, self._before:
            del column[keep:]
        # Releases and accesses to guarded fields are not steps and cannot be kept in part. They are
        # noted again while the kept steps are repeated, in the same order.
        for location in self._released:
            location.released = None
        for guard in self._guards:
            guard.writer = guard.written = -1
            guard.reads.clear()
        self._released.clear()
        self._guards.clear()
        self.races = {step: found for step, found in self.races.items() if step < keep}
        self._enabling = {step for step in self._enabling if step < keep}
        self.now = [[0] * tasks for _ in range(tasks)]

    def choose(self, task: int, location: SharedLocation, kind: int, choice: int) -> bool:
        """Let the step that task makes next see one of several messages, or any if choice is 0.

        Say whether it can.
        """
        return choice == 0

    def record(self, task: int, location: SharedLocation, kind: int) -> int:
        """Note the step that task is about to make; return the kind that it turns out to be."""
        known = self.now[task]
        self.now[task] = clock = known.copy()
        tick = clock[task]
        clock[task] = tick + 1
        index = len(self.tasks)
        recent = location.recent
        settled = kind
        if kind >= COUNT_IN:
            settled = self._settle(location, kind, clock)
        elif kind == WRITE and location.blocked:
            # A write to a place where a task may wait is a new wake-up.
            self._enabling.add(index)
        still = []  # of those, what this step does not stand for from now on
        for each in recent:
            other_kind, other, made, step = each
            # Two READs commute, and two COUNTs do; any other pair here conflicts. If this task knew
            # of the other step already, a chain leads here, and the two cannot change places.
            if made >= known[other] and (other_kind == WRITE or settled != other_kind):
                join_clock(clock, self.clocks[step])
                # A TAKE that the other step made possible cannot be made before it: no race.
                if kind != TAKE or step not in self._enabling:
                    self.races.setdefault(index, []).append(step)
            # Of each task and kind the last step is enough: it happened after the others.
            if other != task or other_kind != settled:
                still.append(each)
        entry = settled, task, tick, index
        # A step that conflicts with one before a WRITE conflicts with the WRITE, too, which comes
        # after.
        location.recent = (entry,) if settled == WRITE else (*still, entry)
        self.tasks.append(task)
        self.locations.append(location)
        self.clocks.append(clock)
        self._before.append(recent)
        return settled

    def _settle(self, location: SharedLocation, kind: int, clock: Clock) -> int:
        # Pairs with release(): the section that begins sees all that the last one did. This is no
        # race; that two sections could change places is found at their ACQUIREs.
        if kind == ACQUIRE and location.released is not None:
            join_clock(clock, location.released)
        if kind >= ACQUIRE or location.counter is None:
            return WRITE
        return location.counter.kind_of(kind)

    def release(self, task: int, location: SharedLocation) -> None:
        """Note that a task released a mutex: the next owner knows all that the task did before."""
        # A tick of its own, so that what the task does after it is not taken as part of it.
        clock = self.now[task].copy()
        clock[task] += 1
        location.released = self.now[task] = clock
        self._released.append(location)

    def happened_before(self, step: int, later: int) -> bool:
        """Return whether a step happened before a later one."""
        # clocks[step] counts the step itself; a task that knows that tick knows the step.
        task = self.tasks[step]
        return self.clocks[step][task] <= self.clocks[later][task]

    def last_known(self, steps: list[int], step: int) -> int:
        """Return the last of some steps that came before; the first of them is -1."""
        return bisect_left(steps, step) - 1

    def missed(self, first: int, last: int) -> list[int]:
        """Return stores that loads from one step of a task to another, its own, did not see.

        Here they see them all; what they come before is ordered after them.
        """
        return []

    def seen_stale(self, step: int) -> tuple[object, object, int] | None:
        """Return what a load saw that did not see the newest store, what that stored, and its step.

        Here there is no such load.
        """
        return None

    def load(self, task: int, guard: Guard) -> int | None:
        """Note a load of a protected field; return the task whose store it races with."""
        # The last store is enough: those before it happened before it, or raced when it was made.
        known = self.now[task]
        writer = guard.writer
        if writer < 0:
            if not guard.reads:
                self._guards.append(guard)
        elif writer != task and guard.written >= known[writer]:
            return writer
        guard.reads[task] = known[task]
        return None

    def store(self, task: int, guard: Guard) -> int | None:
        """Note a store to a protected field; return the task whose access it races with."""
        known = self.now[task]
        writer = guard.writer
        if writer < 0:
            if not guard.reads:
                self._guards.append(guard)
        elif writer != task and guard.written >= known[writer]:
            return writer
        # Loads need no order among themselves, so the last one of each task is looked at. A store
        # does not clear them: whatever is ordered after the store is ordered after them as well.
        for other, tick in guard.reads.items():
            if other != task and tick >= known[other]:
                return other
        guard.writer, guard.written = task, known[task]
        return None


def join_clock(clock: Clock, other: Clock) -> None:
    """Let a clock know what another one knows, too."""
    for task, known in enumerate(other):
        if known > clock[task]:
            clock[task] = known
