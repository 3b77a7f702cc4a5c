"""Who uses an address space: its calls are let in one after the other."""

from collections import deque

from untorn.conform.operation import Operation
from untorn.conform.program.kernel_memory import KernelMemory
from untorn.conform.program.processes import Thread
from untorn.conform.program.twin import Twin


class Memory:
    """An address space and the threads that share it.

    Attributes:
        kernel: The kernel's side.
        twin: Both sides; None if it is of a kind that is not modelled.
        users: Threads that share it.
        owner: The thread whose call is being made, or None.
        waiting: Threads that are stopped before a call, and the calls, in the order in which they
            came.
    """

    def __init__(self, kernel: KernelMemory, twin: Twin | None) -> None:
        self.kernel, self.twin = kernel, twin
        self.users = 1
        self.owner: Thread | None = None
        self.waiting: deque[tuple[Thread, Operation]] = deque()

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

    def _close(self) -> None:
        if self.twin is not None:
            self.twin.end()
        self.kernel.close()
