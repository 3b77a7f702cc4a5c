"""The threads that share an address space: their calls are let in one after the other.

A call may have to wait in the kernel for another thread: one that touches memory of a userfaultfd
waits for a thread to fill it. If that thread made a memory call first, both would wait for ever. So
a call that sleeps for long gives up its turn.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from untorn.conform.operation import Operation
from untorn.conform.program.kernel_memory import KernelMemory
from untorn.conform.program.outcome import ProgramRun
from untorn.conform.program.processes import Thread
from untorn.conform.program.twin import Twin
from untorn.conform.program.world import World

_PATIENCE = 0.5
"""Seconds that a call may take while others wait for their turn."""


class Memory:
    """An address space and the threads that share it.

    Attributes:
        twin: Both sides; None if something in it is not modelled.
        users: The threads that share it.
        owner: The thread whose turn it is and whose call is being made; or None.
        late: Threads that gave up their turn while their call is still being made.
        waiting: Threads that are stopped before a call, and these calls, in the order of their
            arrival.
    """

    def __init__(self, run: ProgramRun, kernel: KernelMemory, twin: Twin | None) -> None:
        self._run, self._kernel = run, kernel
        self.twin = twin
        self.users = 1
        self.owner: Thread | None = None
        self.late: set[Thread] = set()
        self._begun = 0.0
        self.waiting: deque[tuple[Thread, Operation]] = deque()

    def begin(self, thread: Thread, operation: Operation) -> None:
        """Prepare for the owner's call; see Twin."""
        if self.twin is not None:
            with self._losing():
                self.twin.begin(thread, operation)
                if self.late:
                    self.twin.share()
        self._begun = monotonic()

    def finish(self, thread: Thread, operation: Operation, result: int) -> None:
        """Compare the outcome of a thread's call; see Twin."""
        if self.twin is not None:
            with self._losing():
                if thread in self.late:
                    self.twin.take_late(thread, operation)
                else:
                    self.twin.finish(thread, result)

    def fork(self, parent: Thread, child: Thread) -> "Memory":
        """Return the memory of a new process, which is a copy."""
        copy = Memory(self._run, KernelMemory(child), None)
        if self.twin is not None:
            if self.late:
                self.twin.share()
            with copy._losing():
                copy.twin = self.twin.fork(parent, child, copy._kernel)
        return copy

    def end_long_turn(self) -> bool:
        """End the owner's turn if its call sleeps and others wait; return whether that happened.

        Raises:
            ProcessLookupError: The owner is gone.
        """
        owner = self.owner
        if owner is None or not self.waiting or monotonic() < self._begun + _PATIENCE:
            return False
        if not owner.is_asleep():
            return False
        if self.twin is not None:
            self.twin.give_way(owner)
        self.late.add(owner)
        self.owner = None
        return True

    def end_turn(self, thread: Thread) -> None:
        """Record that a thread's call has ended."""
        self.late.discard(thread)
        if self.owner is thread:
            self.owner = None

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """Stop comparing once the maps have something that the engine cannot be given."""
        try:
            yield
        except (ValueError, AssertionError) as error:
            self._run.not_modelled[f"an address space: {error}"] += 1
            self.twin = None

    def leave(self, thread: Thread) -> None:
        """Remove a thread from the users; after the last one nobody may use it."""
        if self.owner is thread and self.twin is not None:
            self.twin.abandon(thread)
        self.end_turn(thread)
        self.waiting = deque(each for each in self.waiting if each[0] is not thread)
        self.users -= 1
        if not self.users:
            self._close()

    @classmethod
    def after_exec(cls, world: World, thread: Thread, *, is_32_bit: bool) -> "Memory":
        """Return the memory of a thread that has just begun a program."""
        memory = cls(world.run, KernelMemory(thread), None)
        if is_32_bit:
            world.run.not_modelled["a program of 32 bits"] += 1
        else:
            with memory._losing():
                memory.twin = Twin.after_exec(world, memory._kernel, thread)
        return memory

    def _close(self) -> None:
        if self.twin is not None:
            self.twin.end()
        self._kernel.close()
