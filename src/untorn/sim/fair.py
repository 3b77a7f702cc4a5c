"""The fair class of one CPU: EEVDF, as Linux has it since 6.12.

Every task has a virtual time, which passes more slowly the higher its weight, and a deadline one
slice later. A task that is not ahead of the weighted average is eligible. The eligible task with
the earliest deadline runs until its slice is used up or it is no longer eligible. A task that
sleeps keeps its lag; one that is ahead stays in the queue, asleep, until the others have caught up.

Not modelled: groups, custom slices, SCHED_BATCH, SCHED_IDLE.
Compare kernel/sched/fair.c:place_entity(), pick_eevdf(), update_curr(), dequeue_entity().
"""

from dataclasses import dataclass

BASE_SLICE_NS = 700_000
"""Length of a slice on one CPU, in ns; more CPUs make it longer. Source:
fair.c:sysctl_sched_base_slice."""
TICK_NS = 4_000_000
"""Time between two ticks of a CPU, in ns: CONFIG_HZ=250."""
NICE_0_WEIGHT = 1024
WEIGHTS = (
    *(88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916),
    *(9548, 7620, 6100, 4904, 3906, 3121, 2501, 1991, 1586, 1277),
    *(1024, 820, 655, 526, 423, 335, 272, 215, 172, 137),
    *(110, 87, 70, 56, 45, 36, 29, 23, 18, 15),
)
"""By nice value, from -20 on. Source: kernel/sched/core.c:sched_prio_to_weight."""
_UNIT = 1 << 10
"""Virtual times are in this fraction of a ns, so that even the smallest delta counts."""


def slice_ns(cpus: int) -> int:
    """Return the slice in ns. Source: fair.c:get_update_sysctl_factor()."""
    return BASE_SLICE_NS * min(cpus, 8).bit_length()


@dataclass(slots=True, eq=False)
class Entity:
    """A task as the fair class sees it.

    Attributes:
        weight: From WEIGHTS.
        vruntime: Its virtual time.
        deadline: Virtual time by which it should have had its slice.
        lag: How far its virtual time was behind the average when it left its queue.
        delayed: It sleeps, but competes until the others have caught up with it.
    """

    weight: int
    vruntime: int = 0
    deadline: int = 0
    lag: int = 0
    delayed: bool = False

    def virtual(self, ns: int) -> int:
        """Return by how much its virtual time advances in ns of CPU time."""
        return ns * NICE_0_WEIGHT * _UNIT // self.weight


class FairQueue:
    """The fair tasks of one CPU that want to run, the running one included.

    Attributes:
        slice_ns: The slice of each task.
        entities: All of them, in order of arrival; some may be delayed.
        awake: How many are not delayed.
        current: The running one; no other runs before its slice is used up, unless it is no longer
            eligible.
    """

    __slots__ = ("_load", "_slice_end", "_sum", "awake", "current", "entities", "slice_ns")

    def __init__(self, slice_ns: int) -> None:
        self.slice_ns = slice_ns
        self.entities: list[Entity] = []
        self.awake = 0
        self.current: Entity | None = None
        self._slice_end = 0  # in virtual time of the current one
        self._load = 0  # sum of the weights
        self._sum = 0  # sum of the virtual times, each multiplied by its weight

    def average(self) -> int:
        """Return the weighted average of the virtual times; 0 without tasks."""
        return self._sum // self._load if self._load else 0

    def eligible(self, entity: Entity) -> bool:
        """Return whether a task has had no more than its share."""
        return entity.vruntime * self._load <= self._sum

    def enter(self, entity: Entity, *, had: float = 0) -> None:
        """Add a task that wants to run, with the lag it had when it left.

        Args:
            entity: The task.
            had: Part of its slice that counts as used up, from 0 to 1.
        """
        average, lag = self.average(), entity.lag
        if self._load:
            # Adding it moves the average, which would make its lag smaller.
            lag = lag * (self._load + entity.weight) // self._load
            entity.vruntime = average - lag
        entity.deadline = entity.vruntime + entity.virtual(round(self.slice_ns * (1 - had)))
        self.entities.append(entity)
        self.awake += 1
        self._load += entity.weight
        self._sum += entity.weight * entity.vruntime

    def leave(self, entity: Entity, *, sleeps: bool = False) -> None:
        """Remove a task; one that sleeps but is ahead of the others stays, delayed."""
        if self.current is entity:
            self.current = None
        if not entity.delayed:
            self.awake -= 1
        if sleeps and not self.eligible(entity):
            entity.delayed = True
            return
        limit = entity.virtual(max(2 * self.slice_ns, TICK_NS))
        entity.lag = max(-limit, min(limit, self.average() - entity.vruntime))
        if entity.delayed:
            entity.delayed, entity.lag = False, min(entity.lag, 0)
        self.entities.remove(entity)
        self._load -= entity.weight
        self._sum -= entity.weight * entity.vruntime

    def resume(self, entity: Entity) -> None:
        """Let a delayed task run again: it woke up before the others had caught up."""
        if self.eligible(entity):
            self.leave(entity)  # it is not owed the time that it slept
            self.enter(entity)
        else:
            entity.delayed = False
            self.awake += 1

    def ran(self, ns: int) -> None:
        """Account time that the current task ran."""
        current = self.current
        if current is None:
            return
        moved = current.virtual(ns)
        current.vruntime += moved
        self._sum += moved * current.weight
        if current.vruntime >= current.deadline:
            current.deadline = current.vruntime + current.virtual(self.slice_ns)

    def pick(self) -> Entity | None:
        """Return the task that should run, perhaps the current one; None if none wants to."""
        while self.entities:
            best = self._earliest()
            if not best.delayed:
                return best
            self.leave(best)
        return None

    def run(self, entity: Entity | None) -> None:
        """Let a task of the queue run for a slice; with None the CPU runs none of them."""
        self.current = entity
        self._slice_end = entity.deadline if entity else 0

    def _earliest(self) -> Entity:
        current = self.current
        if current and current.vruntime < self._slice_end and self.eligible(current):
            return current
        return min(filter(self.eligible, self.entities), key=lambda each: each.deadline)
