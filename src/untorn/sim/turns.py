"""A machine whose CPUs take turns, as those of a guest that is emulated by counting instructions.

One CPU at a time makes headway, or none. From tick to tick the turn goes to a CPU by chance, or to
nobody; the clock goes on for all, and a CPU that has not its turn takes no notice of anything. One
that becomes idle leaves the rest of its turn to another. See docs/simulation-kernels.md.
"""

from collections.abc import Iterator
from random import Random

from untorn.sim.fair import TICK_NS
from untorn.sim.machine import NO_EVENT, Cpu, Machine


class TurnsMachine(Machine):
    """The machine; see Machine."""

    def __init__(
        self, cpus: int, *, context_switch: int, wake_latency: int, preemption: str = "full"
    ) -> None:
        super().__init__(
            cpus, context_switch=context_switch, wake_latency=wake_latency, preemption=preemption
        )
        self._chance = Random(cpus)
        self._holder: Cpu | None = self.cpus[0]
        self._rests = [0] * cpus  # of those that wait for their turn, what is left of a step
        self._called: set[int] = set()  # CPUs that are to look who should run
        self._at(TICK_NS, self._next_turn)

    def _schedule(self, cpu: Cpu, *, force: bool = False) -> None:
        if cpu is self._holder:
            super()._schedule(cpu, force=force)
        else:
            self._called.add(cpu.number)
        if self._holder is not None and self._holder.current is None:
            self._give_turn(next(self._ready(), self._holder))

    def _next_turn(self) -> None:
        self._at(self.now + TICK_NS, self._next_turn)
        self._give_turn(self._chance.choice([*self._ready(), None]))

    def _ready(self) -> Iterator[Cpu]:
        """Give the CPUs that have something to do."""
        for cpu in self.cpus:
            if cpu.current is not None or cpu.number in self._called:
                yield cpu

    def _give_turn(self, cpu: Cpu | None) -> None:
        holder, self._holder = self._holder, cpu
        if holder is cpu:
            return
        if holder is not None and holder.current is not None:
            self._rests[holder.number] = holder.ends - self.now
            holder.ends = NO_EVENT
            holder.turn += 1
        if cpu is None:
            return
        if cpu.current is not None:
            until = cpu.current.until
            cpu.ends = max(self.now, until) if until else self.now + self._rests[cpu.number]
            self._at_end(cpu)
        if cpu.number in self._called:
            self._called.remove(cpu.number)
            self._schedule(cpu, force=cpu.asked)
