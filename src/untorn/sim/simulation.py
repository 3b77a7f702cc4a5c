"""A simulation: jobs, written like threads, on the threads of a machine.

Jobs are greenlets of one real thread, which switches between them only when virtual time passes.
What they share, and what depends on time, must be made while simulating().
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from greenlet import getcurrent, greenlet

from untorn.locking import sync
from untorn.locking.replaced import replaced
from untorn.mm import mm_types
from untorn.sim.charges import charged
from untorn.sim.costs import Costs
from untorn.sim.machine import Machine, Thread
from untorn.sim.primitives import Task, stand_ins
from untorn.sim.rwsem import StolenRwSemaphore
from untorn.sim.turns import TurnsMachine

TIMER_SLACK_NS = 50_000
"""How much later than requested a fair thread's sleep ends, in ns. Source:
PR_SET_TIMERSLACK(2const)."""


class StuckError(Exception):
    """All jobs left wait, and nothing will happen any more."""


class Simulation:
    """Jobs on a machine.

    Attributes:
        costs: The costs that are charged.
        machine: The machine.
        current: The task whose job runs; None during set-up, which takes no time.
    """

    def __init__(self, cpus: int, costs: Costs, preemption: str, *, in_turns: bool = False) -> None:
        self.costs = costs
        make = TurnsMachine if in_turns else Machine
        self.machine: Machine = make(
            cpus,
            context_switch=round(costs.context_switch),
            wake_latency=round(costs.wake_latency),
            preemption=preemption,
        )
        self.current: Task | None = None
        self._tasks: dict[Thread, Task] = {}
        self._jobs: dict[Task, greenlet] = {}

    @property
    def now(self) -> int:
        """What time it is, in ns."""
        return self.machine.now

    def add(
        self,
        name: str,
        job: Callable[[], object],
        *,
        cpus: Sequence[int],
        nice: int = 0,
        fifo: int = 0,
        had: float = 1 / 2,
    ) -> None:
        """Start a job on a thread of its own; raises as Machine.thread()."""
        thread = self.machine.thread(name, cpus=cpus, nice=nice, fifo=fifo, had=had)
        task = self._tasks[thread] = Task(self, thread)
        self._jobs[task] = _begun(job)

    def run(self) -> None:
        """Run all jobs to their ends.

        Raises:
            StuckError: Some jobs wait for ever.
            Exception: A job failed with it, which ends all.
        """
        try:
            while self._jobs:
                self.current = self._next()
                # Jobs switch to one another. Control returns here when one ends or fails.
                self._jobs[self.current].switch()
                ended = self._running
                del self._jobs[ended]
                self.machine.sleep(ended.thread)
        finally:
            self.current = None
            for job in self._jobs.values():
                if not job.dead:
                    job.throw()

    def burn(self, ns: float) -> None:
        """Let the running job take some time; set-up takes none."""
        current = self.current
        if current is not None and not self.machine.burn(current.thread, round(ns)):
            self._go_on()

    def enter_kernel(self) -> None:
        """Let the running job begin a system call; does nothing during set-up."""
        if self.current is not None:
            self.machine.enter_kernel(self.current.thread)

    def cond_resched(self) -> None:
        """Let the running job give up the CPU in the kernel."""
        if self.current is not None:
            self.machine.cond_resched(self.current.thread)

    def leave_kernel(self) -> None:
        """Let the running job return from a system call."""
        if self.current is not None:
            self.machine.leave_kernel(self.current.thread)

    def spin_until(self, then: int) -> None:
        """Let the running job spin until some moment."""
        if not self.machine.spin_until(self._running.thread, then):
            self._go_on()

    def sleep(self) -> None:
        """Let the running job sleep until it is woken."""
        self.machine.sleep(self._running.thread)
        self._go_on()

    def sleep_for(self, ns: int) -> None:
        """Let the running job sleep for some time, as clock_nanosleep(2) does."""
        self.burn(self.costs.syscall)
        thread = self._running.thread
        then = self.now + (ns if thread.fifo else ns + TIMER_SLACK_NS)
        if not self.machine.end_turn(thread):
            self._go_on()
        if self.now < then:  # its CPU may have had no turn for longer than that
            self.machine.alarm(thread, then - self.now)
            self.sleep()

    def wake(self, task: Task) -> None:
        """Wake a waiting job; the running one pays for it."""
        self.burn(self.costs.wake_up)
        if task.waits:
            self.machine.wake(task.thread, by=self.current.thread if self.current else None)

    def cpu_time(self) -> int:
        """Return how long the running job's thread has had a CPU, in ns."""
        return self.machine.cpu_time(self._running.thread)

    def set_fifo(self, fifo: int) -> None:
        """Give the running job's thread a real-time priority, or make it a fair one (0)."""
        self.burn(self.costs.syscall)
        self.machine.set_fifo(self._running.thread, fifo)

    @property
    def _running(self) -> Task:
        assert self.current is not None, "nobody can wait while things are set up"
        return self.current

    def _next(self) -> Task:
        """Let time pass until a thread reaches a point; return its task."""
        thread = self.machine.advance()
        if thread is None:
            raise StuckError(f"{', '.join(task.name for task in self._jobs)}: all wait for ever")
        return self._tasks[thread]

    def _go_on(self) -> None:
        """Run other jobs until the current one reaches its next point."""
        before, self.current = self.current, self._next()
        if self.current is not before:
            self._jobs[self.current].switch()


def _begun(job: Callable[[], object]) -> greenlet:
    """Return a greenlet that runs a job from its next switch on.

    It starts here, not in the middle of another job: then it would count that job's frames as its
    own, and a few hundred jobs would reach the recursion limit.
    """
    here = getcurrent()

    def begin() -> None:
        here.switch()
        job()

    begun = greenlet(begin)
    begun.switch()
    return begun


@contextmanager
def simulating(
    cpus: int, costs: Costs, preemption: str, *, in_turns: bool = False
) -> Iterator[Simulation]:
    """Charge locking/, mm/ and fs/ virtual time, on a machine with these CPUs.

    Objects made inside do not work outside, nor the other way round. One at a time per process.

    Args:
        cpus: The number of CPUs.
        costs: The costs that are charged.
        preemption: A key of machine.PREEMPTION.
        in_turns: Whether the CPUs take turns, like those of an emulated guest in virtual time.

    Raises:
        ValueError: There is no such preemption model.
    """
    simulation = Simulation(cpus, costs, preemption, in_turns=in_turns)
    with (
        replaced(sync, stand_ins(simulation)),
        replaced(mm_types, {"RwSemaphore": StolenRwSemaphore}),
        charged(costs, simulation),
    ):
        yield simulation
