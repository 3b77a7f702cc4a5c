"""A machine whose CPUs take turns, like those of a guest emulated by counting instructions.

At most one CPU at a time makes progress. At each tick the turn goes to a random CPU, or to none.
The clock advances for all, but a CPU without the turn takes no notice of anything. A CPU that
becomes idle, or arms a timer, leaves the rest of its turn to another. See
docs/simulation-kernels.md.
"""

from collections.abc import Iterator
from random import Random

from untorn.sim.fair import TICK_NS
from untorn.sim.machine import NO_EVENT, Cpu, Machine, Thread


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
        self._rests = [0] * cpus  # time left to burn, by CPU that waits for its turn
        self._called: set[int] = set()  # CPUs that must check which thread should run
        self._at(TICK_NS, self._next_turn)

    def _schedule(self, cpu: Cpu, *, force: bool = False) -> None:
        if cpu is self._holder:
            super()._schedule(cpu, force=force)
        else:
            self._called.add(cpu.number)
        if self._holder is not None and self._holder.current is None:
            self._give_turn(next(self._ready(), self._holder))

    def end_turn(self, thread: Thread) -> bool:
        """Let the CPU of a thread that arms a timer end its turn, if another has something to do.

        The emulator must count anew until the next timer. Source: QEMU, qemu_timer_notify_cb().
        """
        cpu = self.cpus[thread.cpu]
        other = next((each for each in self._ready() if each is not cpu), None)
        if other is None:
            return True
        cpu.ends = self.now
        self._give_turn(other)
        return False

    def _next_turn(self) -> None:
        self._at(self.now + TICK_NS, self._next_turn)
        self._give_turn(self._chance.choice([*self._ready(), None]))

    def _ready(self) -> Iterator[Cpu]:
        """Return the CPUs that have something to do."""
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
