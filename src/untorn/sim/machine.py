"""A machine: CPUs, the threads that they run, and a clock that moves from event to event.

A thread is at a point of its program, or burns time on a CPU, or waits for one, or sleeps. The
driver of the machine asks for the next thread that has reached a point, does the thread's work
there, which takes no time, and says how the thread goes on: burn() or sleep(). It may wake other
threads meanwhile. All times are whole ns.

The preemption model decides where a thread may be preempted: see PREEMPTION. A woken thread goes to
the CPU where it ran last, or to an idle one; a CPU that becomes idle takes over a thread that waits
elsewhere, and looks for one at the ticks of the others.

Simplified: interrupts and ticks cost nothing; caches are always warm; CPUs are alike, and no two
share a core; waiting threads are not moved from a busy CPU to a less busy one; real-time threads
are not throttled.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from untorn.sim.fair import TICK_NS, WEIGHTS, Entity, FairQueue, slice_ns

NO_EVENT = 1 << 62
PREEMPTION = {
    "full": "at any moment, in the kernel as in a program",
    "lazy": "in a program at any moment; in the kernel by real-time threads, and where a tick "
    "finds that a fair one has waited since before it",
    "none": "in a program at any moment; in the kernel only where it offers that: cond_resched()",
}
"""By preemption model: where a thread is preempted. Source: kernel/sched/core.c."""


@dataclass(slots=True, eq=False)
class Thread:
    """A thread of the machine.

    Attributes:
        name: For people.
        cpus: Numbers of the CPUs where it may run.
        entity: It as a fair thread.
        fifo: Its priority under SCHED_FIFO, at least 1; 0 for a fair thread.
        cpu: The CPU where it runs, waits or ran last.
        left: How long it has yet to burn, in ns.
        until: When it stops spinning, whether it has a CPU or not; 0 if it burns.
        in_kernel: Whether it is in a system call.
        asleep: Whether it does not want to run.
        woken: How many times it was woken.
        had: How long it had a CPU, as far as accounted, in ns.
    """

    name: str
    cpus: tuple[int, ...]
    entity: Entity
    fifo: int = 0
    cpu: int = -1
    left: int = 0
    until: int = 0
    in_kernel: bool = False
    asleep: bool = True
    woken: int = 0
    had: int = 0


@dataclass(slots=True, eq=False)
class Cpu:
    """A CPU and the threads that wait for it.

    Attributes:
        number: Its own.
        fair: Its fair threads, the running one included.
        fifo: The real-time threads that wait for it, in the order in which they will run.
        current: The running thread.
        since: Until when its time is accounted.
        ends: When current reaches its next point; NO_EVENT while it is at one.
        turn: How many times that has changed: an event of an earlier turn is void.
        ticking: Whether a tick is due.
        asked: Whether current must give up the CPU as soon as it leaves the kernel.
    """

    number: int
    fair: FairQueue
    fifo: list[Thread] = field(default_factory=list)
    current: Thread | None = None
    since: int = 0
    ends: int = NO_EVENT
    turn: int = 0
    ticking: bool = False
    asked: bool = False

    @property
    def waiting(self) -> int:
        """The number of threads that wait for it."""
        running = self.current is not None and not self.current.fifo
        return len(self.fifo) + self.fair.awake - running


class Machine:
    """The machine.

    Attributes:
        now: The time.
        cpus: Its CPUs.
        ran: Called whenever a CPU begins to run a thread, or none (None).
    """

    def __init__(
        self, cpus: int, *, context_switch: int, wake_latency: int, preemption: str = "full"
    ) -> None:
        """Make a machine whose CPUs are all idle; for the costs see costs.py.

        Raises:
            ValueError: There is no such preemption model.
        """
        if preemption not in PREEMPTION:
            raise ValueError(f"no preemption model {preemption}; models: {', '.join(PREEMPTION)}")
        self.now = 0
        self.cpus = [Cpu(number, FairQueue(slice_ns(cpus))) for number in range(cpus)]
        self.ran: Callable[[int, Thread | None], None] = lambda cpu, thread: None
        self._context_switch, self._wake_latency = context_switch, wake_latency
        self._preemption = preemption
        self._events: list[tuple[int, int, Callable[[], Thread | None]]] = []
        self._made = 0
        self._threads: dict[Entity, Thread] = {}

    def thread(
        self, name: str, *, cpus: Sequence[int], nice: int = 0, fifo: int = 0, had: float = 1 / 2
    ) -> Thread:
        """Make a thread that starts to run as soon as a CPU is free.

        Args:
            name: For people.
            cpus: Where it may run, by number.
            nice: Its nice value.
            fifo: Its priority under SCHED_FIFO; 0 for a fair thread.
            had: Part of its first slice that counts as used up, from 0 to 1; Linux counts half.

        Raises:
            ValueError: There is no such CPU or priority.
        """
        if not cpus or not set(cpus) <= set(range(len(self.cpus))):
            raise ValueError(f"{name} may run on CPUs {list(cpus)} of {len(self.cpus)}")
        if not (-20 <= nice < 20 and 0 <= fifo < 100):
            raise ValueError(f"{name} has nice value {nice}, FIFO priority {fifo}")
        made = Thread(name, tuple(sorted(cpus)), Entity(WEIGHTS[nice + 20]), fifo)
        self._threads[made.entity] = made
        made.cpu = min(made.cpus, key=lambda each: self._load(self.cpus[each]))
        self._start(made, had=had)
        return made

    def advance(self) -> Thread | None:
        """Let time pass until a thread reaches a point; return it, or None if nothing happens."""
        while self._events:
            self.now, _, happens = heappop(self._events)
            thread = happens()
            if thread is not None:
                return thread
        return None

    def burn(self, thread: Thread, ns: int) -> bool:
        """Let a thread at a point burn time; return whether it has already reached the next one.

        If not, advance() returns it then.
        """
        then = self.now + ns
        if not self._events or then < self._events[0][0]:
            self.now = then  # nothing else happens until then
            return True
        cpu = self.cpus[thread.cpu]
        cpu.ends = then
        self._at_end(cpu)
        return False

    def spin_until(self, thread: Thread, then: int) -> bool:
        """Let a thread at a point spin until some moment; return as burn() does.

        Unlike burn(), time without a CPU counts too.
        """
        if self.burn(thread, max(then - self.now, 0)):
            return True
        thread.until = then
        return False

    def sleep(self, thread: Thread) -> None:
        """Let a thread at a point sleep until it is woken."""
        cpu = self.cpus[thread.cpu]
        self._count(cpu)
        thread.asleep = True
        if not thread.fifo:
            cpu.fair.leave(thread.entity, sleeps=True)
        cpu.current = None
        self._schedule(cpu)
        if cpu.current is None:
            self.ran(cpu.number, None)

    def alarm(self, thread: Thread, after: int) -> None:
        """Wake a thread, which is about to sleep, after some time, unless it was woken before."""
        sleeps = thread.woken
        self._at(self.now + after, lambda: self._ring(thread, sleeps))

    def end_turn(self, thread: Thread) -> bool:
        """Let a thread at a point arm a timer; return as burn() does. See TurnsMachine."""
        return True

    def wake(self, thread: Thread, by: Thread | None = None) -> None:
        """Let a sleeping thread run again.

        Args:
            thread: The thread.
            by: The thread that wakes it; None for a timer of its CPU.
        """
        if not thread.asleep:
            return
        thread.woken += 1
        if not thread.entity.delayed:
            thread.cpu = self._choose_cpu(thread)
        cpu = self.cpus[thread.cpu]
        at_once = cpu.current is not None and (by is None or by.cpu == cpu.number)
        self._start(thread, after=0 if at_once else self._wake_latency)

    def enter_kernel(self, thread: Thread) -> None:
        """Let a thread at a point begin a system call."""
        thread.in_kernel = True

    def leave_kernel(self, thread: Thread) -> None:
        """Let a thread at a point return from a system call; a thread that waited runs now."""
        thread.in_kernel = False
        cpu = self.cpus[thread.cpu]
        if cpu.asked:
            self._look(cpu, after=0)

    def cond_resched(self, thread: Thread) -> None:
        """Let a thread at a point in the kernel offer its CPU to others, as Linux does."""
        cpu = self.cpus[thread.cpu]
        if cpu.asked and self._preemption == "none":
            self._at(self.now, lambda: self._schedule(cpu, force=True))

    def cpu_time(self, thread: Thread) -> int:
        """Return how long a thread has had a CPU, in ns."""
        self._count(self.cpus[thread.cpu])
        return thread.had

    def set_fifo(self, thread: Thread, fifo: int) -> None:
        """Give a thread at a point a real-time priority, or make it a fair one (0)."""
        cpu = self.cpus[thread.cpu]
        self._count(cpu)
        if not thread.fifo and fifo:
            cpu.fair.leave(thread.entity)
        elif thread.fifo and not fifo:
            cpu.fair.enter(thread.entity)
            cpu.fair.run(thread.entity)
        thread.fifo = fifo
        self._look(cpu, after=0)

    def _ring(self, thread: Thread, sleeps: int) -> None:
        if thread.woken == sleeps:
            self.wake(thread)

    def _start(self, thread: Thread, *, after: int = 0, had: float = 0) -> None:
        """Let a thread wait for its CPU, which takes notice after some time."""
        cpu = self.cpus[thread.cpu]
        thread.asleep = False
        self._count(cpu)
        if thread.entity.delayed:
            cpu.fair.resume(thread.entity)
        elif thread.fifo:
            self._queue_fifo(cpu, thread)
        else:
            cpu.fair.enter(thread.entity, had=had)
        self._look(cpu, after)

    def _choose_cpu(self, thread: Thread) -> int:
        """Return the CPU for a woken thread: its last one, unless only another one is idle."""
        if self._is_free(self.cpus[thread.cpu], thread):
            return thread.cpu
        free = (each for each in thread.cpus if self._is_free(self.cpus[each], thread))
        return next(free, thread.cpu)

    @staticmethod
    def _is_free(cpu: Cpu, thread: Thread) -> bool:
        """Return whether a CPU runs nothing, or nothing that a real-time thread must wait for."""
        if thread.fifo and not cpu.fifo:
            return cpu.current is None or cpu.current.fifo < thread.fifo
        return cpu.current is None and not cpu.waiting

    @staticmethod
    def _load(cpu: Cpu) -> int:
        return cpu.waiting + (cpu.current is not None)

    @staticmethod
    def _queue_fifo(cpu: Cpu, thread: Thread, *, first: bool = False) -> None:
        """Queue a thread after those of its priority, or before them (first)."""
        place = thread.fifo + first
        index = sum(each.fifo >= place for each in cpu.fifo)
        cpu.fifo.insert(index, thread)

    def _look(self, cpu: Cpu, after: int) -> None:
        """Let a CPU check after some time whether another thread should run."""
        self._at(self.now + after, lambda: self._schedule(cpu))

    def _tick(self, cpu: Cpu) -> None:
        """Check whether another thread should run, or an idle CPU takes over a waiting one."""
        cpu.ticking = False
        self._schedule(cpu, force=cpu.asked and self._preemption == "lazy")
        if cpu.waiting:
            for other in self.cpus:
                if other.current is None:
                    self._schedule(other)

    def _schedule(self, cpu: Cpu, *, force: bool = False) -> None:
        """Run the thread that should run, or (unless force) request it if it must wait."""
        self._count(cpu)
        best = self._pick(cpu) or self._take_over(cpu)
        before = cpu.current
        if best is not before and self._must_wait(best, before) and not force:
            cpu.asked = True
        elif best is not before:
            if before is not None:
                self._preempt(cpu, before)
            self._run(cpu, best)
        elif best is not None and not best.fifo:
            cpu.fair.run(best.entity)  # another slice, if it has used up its last one
        if not cpu.ticking and cpu.current is not None and cpu.waiting:
            cpu.ticking = True
            self._at((self.now // TICK_NS + 1) * TICK_NS, lambda: self._tick(cpu))

    def _must_wait(self, best: Thread | None, before: Thread | None) -> bool:
        """Return whether the model keeps the running thread from being preempted here."""
        in_kernel = before is not None and before.in_kernel
        if not in_kernel or best is None or self._preemption == "full":
            return False
        return self._preemption == "none" or not best.fifo

    def _pick(self, cpu: Cpu) -> Thread | None:
        """Return which of a CPU's threads should run."""
        running = cpu.current.fifo if cpu.current is not None else 0
        if cpu.fifo and cpu.fifo[0].fifo > running:
            return cpu.fifo[0]
        if running:
            return cpu.current
        entity = cpu.fair.pick()
        return self._threads[entity] if entity else None

    def _take_over(self, cpu: Cpu) -> Thread | None:
        """Move a thread that waits for the busiest of the other CPUs to an idle CPU."""
        for other in sorted(self.cpus, key=lambda each: -each.waiting):
            for thread in self._waiting(other):
                if cpu.number in thread.cpus:
                    self._count(other)
                    if thread.fifo:
                        other.fifo.remove(thread)
                        self._queue_fifo(cpu, thread)
                    else:
                        other.fair.leave(thread.entity)
                        cpu.fair.enter(thread.entity)
                    thread.cpu = cpu.number
                    return thread
        return None

    def _waiting(self, cpu: Cpu) -> Iterable[Thread]:
        """Return the threads that wait for a CPU."""
        yield from cpu.fifo
        for entity in cpu.fair.entities:
            thread = self._threads[entity]
            if thread is not cpu.current and not entity.delayed:
                yield thread

    def _preempt(self, cpu: Cpu, thread: Thread) -> None:
        """Let the current thread wait, with the time that it has yet to burn."""
        thread.left = cpu.ends - self.now
        cpu.current = None
        if thread.fifo:
            self._queue_fifo(cpu, thread, first=True)

    def _run(self, cpu: Cpu, thread: Thread | None) -> None:
        """Run a thread that waited, or none."""
        cpu.current = thread
        cpu.ends, cpu.asked = NO_EVENT, False
        cpu.turn += 1
        if thread is not None and thread.fifo:
            cpu.fifo.remove(thread)
        cpu.fair.run(thread.entity if thread is not None and not thread.fifo else None)
        if thread is not None:
            begin = self.now + self._context_switch
            cpu.ends = max(begin, thread.until) if thread.until else begin + thread.left
            thread.left = 0
            self._at_end(cpu)
        self.ran(cpu.number, thread)

    def _count(self, cpu: Cpu) -> None:
        """Account the time that the current thread has run since the last call."""
        ns = self.now - cpu.since
        if cpu.current is not None:
            cpu.current.had += ns
        cpu.fair.ran(ns)
        cpu.since = self.now

    def _at_end(self, cpu: Cpu) -> None:
        turn = cpu.turn = cpu.turn + 1
        self._at(cpu.ends, lambda: self._step(cpu, turn))

    def _step(self, cpu: Cpu, turn: int) -> Thread | None:
        """Return the thread that has burned its time, unless it was preempted before."""
        if turn != cpu.turn:
            return None
        cpu.ends = NO_EVENT
        if cpu.current is not None:
            cpu.current.until = 0
        return cpu.current

    def _at(self, time: int, happens: Callable[[], Thread | None]) -> None:
        # Numbered, so that events at the same moment happen in the order in which they were caused.
        self._made += 1
        heappush(self._events, (time, self._made, happens))
