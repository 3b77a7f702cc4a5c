"""A simulation: jobs, written as for threads, on the threads of a machine.

Jobs are greenlets of one real thread, so what they do between two moments of virtual time is one
piece. What they share, and what depends on time, must have been made while simulating().
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
"""By how much later than asked a fair thread's sleep ends. Source: PR_SET_TIMERSLACK(2const)."""


class StuckError(Exception):
    """All that is left waits, and nothing will happen any more."""


class Simulation:
    """Jobs on a machine.

    Attributes:
        costs: What is charged.
        machine: The machine.
        current: Whose job runs; None while things are set up, which takes no time.
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
        """Let a job begin, on a thread of its own; raises as Machine.thread()."""
        thread = self.machine.thread(name, cpus=cpus, nice=nice, fifo=fifo, had=had)
        task = self._tasks[thread] = Task(self, thread)
        self._jobs[task] = _begun(job)

    def run(self) -> None:
        """Let all jobs run to their ends.

        Raises:
            StuckError: Some wait for ever.
            Exception: What a job failed with, which ends all.
        """
        try:
            while self._jobs:
                self.current = self._next()
                # Jobs switch to one another. Back here comes the one that ended, or its failure.
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
        """Let the running job take some time; none is taken while things are set up."""
        current = self.current
        if current is not None and not self.machine.burn(current.thread, round(ns)):
            self._go_on()

    def enter_kernel(self) -> None:
        """Let the running job begin a system call; nobody does while things are set up."""
        if self.current is not None:
            self.machine.enter_kernel(self.current.thread)

    def cond_resched(self) -> None:
        """Let the running job make way in the kernel."""
        if self.current is not None:
            self.machine.cond_resched(self.current.thread)

    def leave_kernel(self) -> None:
        """Let it return from that."""
        if self.current is not None:
            self.machine.leave_kernel(self.current.thread)

    def spin_until(self, then: int) -> None:
        """Let the running job look at the clock until some moment."""
        if not self.machine.spin_until(self._running.thread, then):
            self._go_on()

    def sleep(self) -> None:
        """Let the running job sleep until somebody wakes it."""
        self.machine.sleep(self._running.thread)
        self._go_on()

    def sleep_for(self, ns: int) -> None:
        """Let the running job sleep for some time, as clock_nanosleep(2) does."""
        self.burn(self.costs.syscall)
        thread = self._running.thread
        self.machine.alarm(thread, ns if thread.fifo else ns + TIMER_SLACK_NS)
        self.sleep()

    def wake(self, task: Task) -> None:
        """Wake a job that waits; the running one pays for it."""
        self.burn(self.costs.wake_up)
        if task.waits:
            self.machine.wake(task.thread, by=self.current.thread if self.current else None)

    def cpu_time(self) -> int:
        """Return for how long the running job's thread has had a CPU, in ns."""
        return self.machine.cpu_time(self._running.thread)

    def set_fifo(self, fifo: int) -> None:
        """Make the running job's thread a real-time one of that priority, or (0) a fair one."""
        self.burn(self.costs.syscall)
        self.machine.set_fifo(self._running.thread, fifo)

    @property
    def _running(self) -> Task:
        assert self.current is not None, "nobody can wait while things are set up"
        return self.current

    def _next(self) -> Task:
        """Let time pass until somebody is at a step."""
        thread = self.machine.advance()
        if thread is None:
            raise StuckError(f"{', '.join(task.name for task in self._jobs)}: all wait for ever")
        return self._tasks[thread]

    def _go_on(self) -> None:
        """Return when the job that runs now is at its next step; others run until then."""
        before, self.current = self.current, self._next()
        if self.current is not before:
            self._jobs[self.current].switch()


def _begun(job: Callable[[], object]) -> greenlet:
    """Return a greenlet that does a job from its next switch on.

    It begins here, and not in the middle of another job: it would count the frames of that as its
    own, and a few hundred jobs would come to the limit of recursion.
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
    """Let locking/, mm/ and fs/ take the time that they cost, on a machine with these CPUs.

    What is made inside does not work outside, and the other way round. One at a time in a process.

    Args:
        cpus: How many.
        costs: What is charged.
        preemption: A key of machine.PREEMPTION.
        in_turns: The CPUs take turns, as those of an emulated guest in virtual time.

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
