"""Who uses an address space: its calls are let in one after the other."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from untorn.conform.operation import Operation
from untorn.conform.program.kernel_memory import KernelMemory
from untorn.conform.program.outcome import ProgramRun
from untorn.conform.program.processes import Thread
from untorn.conform.program.twin import Twin
from untorn.conform.program.world import World


class Memory:
    """An address space and the threads that share it.

    Attributes:
        twin: Both sides; None if it is of a kind that is not modelled.
        users: Threads that share it.
        owner: The thread whose call is being made, or None.
        waiting: Threads that are stopped before a call, and the calls, in the order in which they
            came.
    """

    def __init__(self, run: ProgramRun, kernel: KernelMemory, twin: Twin | None) -> None:
        self._run, self._kernel = run, kernel
        self.twin = twin
        self.users = 1
        self.owner: Thread | None = None
        self.waiting: deque[tuple[Thread, Operation]] = deque()

    def begin(self, thread: Thread, operation: Operation) -> None:
        """Get ready for a thread's call; see Twin."""
        if self.twin is not None:
            with self._losing():
                self.twin.begin(thread, operation)

    def finish(self, thread: Thread, result: int) -> None:
        """Compare what came of a thread's call; see Twin."""
        if self.twin is not None:
            with self._losing():
                self.twin.finish(thread, result)

    def fork(self, parent: Thread, child: Thread) -> "Memory":
        """Return the memory of a new process, which is a copy."""
        copy = Memory(self._run, KernelMemory(child), None)
        if self.twin is not None:
            with copy._losing():
                copy.twin = self.twin.fork(parent, child, copy._kernel)
        return copy

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """Compare nothing any more once the maps are of what the engine cannot be made to have."""
        try:
            yield
        except (ValueError, AssertionError) as error:
            self._run.not_modelled[f"an address space: {error}"] += 1
            self.twin = None

    def leave(self, thread: Thread) -> None:
        """Let a thread use it no longer; nobody may use it after the last one."""
        if self.owner is thread:
            self.owner = None
            if self.twin is not None:
                self.twin.abandon(thread)
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
