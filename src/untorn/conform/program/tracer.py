"""Trace a program and all that comes from it: threads, children, and programs that they begin.

Every thread runs freely except at the calls where the filter stops it. There a thread waits until
no other one that shares its memory makes such a call, or until that call sleeps; then it makes its
own, and stops again after it.

A Tracer must have only one user, which has no other children: waitpid(2) waits for those of the
calling thread. Source: ptrace(2), seccomp(2).
"""

import os
import signal
from contextlib import suppress
from time import perf_counter, sleep

from untorn.conform.operation import Operation
from untorn.conform.program.calls import (
    CHANGE_BOUNDS,
    MDWE,
    OF_32_BITS,
    OF_64_BITS,
    PTRACE_TRACEME,
    operation_of,
)
from untorn.conform.program.memory import Memory
from untorn.conform.program.processes import Thread, TracedProcess
from untorn.conform.program.world import World
from untorn.conform.traced.ptrace import (
    AUDIT_ARCH_X86_64,
    PTRACE_CONT,
    PTRACE_DETACH,
    PTRACE_EVENT_CLONE,
    PTRACE_EVENT_EXEC,
    PTRACE_EVENT_FORK,
    PTRACE_EVENT_SECCOMP,
    PTRACE_EVENT_STOP,
    PTRACE_EVENT_VFORK,
    PTRACE_LISTEN,
    PTRACE_O_EXITKILL,
    PTRACE_O_TRACECLONE,
    PTRACE_O_TRACEEXEC,
    PTRACE_O_TRACEFORK,
    PTRACE_O_TRACESECCOMP,
    PTRACE_O_TRACESYSGOOD,
    PTRACE_O_TRACEVFORK,
    PTRACE_SYSCALL,
    SYSCALL_EXIT,
    WALL,
    WNOTHREAD,
    SyscallInfo,
    event_message,
    ptrace,
)

OPTIONS = (
    PTRACE_O_EXITKILL
    | PTRACE_O_TRACECLONE
    | PTRACE_O_TRACEEXEC
    | PTRACE_O_TRACEFORK
    | PTRACE_O_TRACESECCOMP
    | PTRACE_O_TRACESYSGOOD
    | PTRACE_O_TRACEVFORK
)
_FORKED = PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_EVENT_CLONE
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_GROUP_STOPS = signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU
_gone = suppress(ProcessLookupError, FileNotFoundError)
"""For looks at a stopped thread: it may be killed meanwhile, before its end is reported."""
_CLONE_VM, _CLONE_THREAD = 0x100, 0x1_0000
_WORD = 8
_SHORTEST_PAUSE, _LONGEST_PAUSE = 5e-5, 0.01
"""Seconds between two looks around, while threads wait for others' calls."""


class Tracer:
    """Traces until all have ended.

    Attributes:
        processes: The living processes by PID. Another thread may send them signals by their
            pidfds, and nothing else.
    """

    def __init__(self, world: World, *, filtered: bool) -> None:
        """Set up a tracer.

        Args:
            world: What all address spaces share.
            filtered: Whether the program has the filter; otherwise it stops at every call.
        """
        self._world = world
        self._info = SyscallInfo()
        self._go_on = PTRACE_CONT if filtered else PTRACE_SYSCALL
        self._threads: dict[int, Thread] = {}
        self._memories: dict[Thread, Memory] = {}
        self._calls: dict[Thread, Operation] = {}  # calls under way
        self._crowded: set[Memory] = set()  # memories for which threads wait, or did
        self._early: set[int] = set()  # stopped before their parents reported them
        self.processes: dict[int, TracedProcess] = {}

    def trace(self, pid: int) -> None:
        """Trace a program that has just begun, is stopped, and is traced with OPTIONS."""
        run = self._world.run
        thread = self._add_thread(pid, self._add_process(pid))
        self._begin_program(thread)
        ptrace(self._go_on, pid)
        while self._threads:
            tid, status = self._next_change()
            begun = perf_counter()
            with _gone:
                self._on_change(tid, status)
            if tid == pid and not os.WIFSTOPPED(status):
                run.ending = os.waitstatus_to_exitcode(status)
            run.tracing += perf_counter() - begun

    def _next_change(self) -> tuple[int, int]:
        """Wait until a thread stops or ends; return its TID and its wait status."""
        pause = _SHORTEST_PAUSE
        while self._crowded:
            self._relieve()
            tid, status = os.waitpid(-1, WALL | WNOTHREAD | os.WNOHANG)
            if tid:
                return tid, status
            sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return os.waitpid(-1, WALL | WNOTHREAD)

    def _relieve(self) -> None:
        """Let in threads that wait for a call which may itself wait for them."""
        self._crowded = {memory for memory in self._crowded if memory.waiting}
        for memory in self._crowded:
            with _gone:
                if memory.end_long_turn():
                    self._let_in(memory)

    def _on_change(self, tid: int, status: int) -> None:
        thread = self._threads.get(tid)
        if not os.WIFSTOPPED(status):
            if thread is not None:
                self._remove_thread(thread)
        elif thread is None:
            self._early.add(tid)
        else:
            self._on_stop(thread, status >> 16, os.WSTOPSIG(status))

    def _on_stop(self, thread: Thread, event: int, number: int) -> None:
        if event == PTRACE_EVENT_SECCOMP or number == _SYSCALL_STOP:
            self._info.read(thread.tid)
            if thread in self._calls:
                self._on_return(thread)
            elif self._info.op != SYSCALL_EXIT:
                self._on_call(thread)
            else:
                ptrace(self._go_on, thread.tid)
        elif event in _FORKED:
            self._on_fork(thread)
        elif event == PTRACE_EVENT_EXEC:
            self._on_exec(thread)
        elif event == PTRACE_EVENT_STOP:
            # A group stop lasts until SIGCONT; any other stop is the start or end of something.
            ptrace(PTRACE_LISTEN if number in _GROUP_STOPS else self._go_on, thread.tid)
        else:
            ptrace(self._go_on, thread.tid, number)

    def _on_call(self, thread: Thread) -> None:
        """Let a thread make its call, or wait for its turn."""
        number, arguments = self._info.number, self._info.arguments
        calls = OF_64_BITS if self._info.arch == AUDIT_ARCH_X86_64 else OF_32_BITS
        operation = operation_of(calls, number, arguments)
        if operation is not None:
            memory = self._memories[thread]
            memory.waiting.append((thread, operation))
            if memory.owner is None:
                self._let_in(memory)
            else:
                self._crowded.add(memory)
        elif number == calls.ptrace and arguments[0] == PTRACE_TRACEME:
            self._hand_over(thread)
        else:
            ptrace(self._go_on, thread.tid)

    def _hand_over(self, thread: Thread) -> None:
        """Leave a thread to the tracer that it asks for: it can have only one."""
        self._world.run.not_modelled["a process that another one debugs"] += 1
        ptrace(PTRACE_DETACH, thread.tid)
        self._remove_thread(thread)

    def _let_in(self, memory: Memory) -> None:
        """Let the next waiting thread make its call. Preconditions: no call is under way."""
        while memory.waiting and memory.owner is None:
            thread, operation = memory.waiting.popleft()
            memory.owner = thread
            self._calls[thread] = operation
            with _gone:
                memory.begin(thread, operation)
            try:
                ptrace(PTRACE_SYSCALL, thread.tid)
            except ProcessLookupError:
                memory.owner = None  # it was killed

    def _let_go(self, thread: Thread, memory: Memory) -> None:
        """Let a thread go on after its call, and the next one make its own."""
        with _gone:
            ptrace(self._go_on, thread.tid)
        memory.end_turn(thread)
        self._let_in(memory)

    def _on_return(self, thread: Thread) -> None:
        """Compare after a call was made; let the next one in."""
        memory, operation = self._memories[thread], self._calls.pop(thread)
        if operation.name in CHANGE_BOUNDS:
            self._change_bounds(thread.process, operation, self._info.result)
        else:
            with _gone:
                memory.finish(thread, operation, self._info.result)
        self._let_go(thread, memory)

    def _on_fork(self, thread: Thread) -> None:
        """Register a new thread or process, whose parent's call has succeeded."""
        memory, operation = self._memories[thread], self._calls.pop(thread)
        with _gone:
            child = event_message(thread.tid)
            self._add_child(thread, child, clone_flags(thread, operation))
            memory.finish(thread, operation, child)
        self._let_go(thread, memory)

    def _add_child(self, parent: Thread, tid: int, flags: int) -> None:
        is_thread = flags & _CLONE_THREAD
        process = parent.process if is_thread else self._add_process(tid, parent.process)
        child = self._add_thread(tid, process)
        self._memories[child] = self._memory_of(child, parent, flags)
        if tid in self._early:
            self._early.remove(tid)
            ptrace(self._go_on, tid)

    def _memory_of(self, child: Thread, parent: Thread, flags: int) -> Memory:
        memory = self._memories[parent]
        if flags & _CLONE_VM:
            memory.users += 1
            return memory
        return memory.fork(parent, child)

    def _on_exec(self, leader: Thread) -> None:
        """Register that a thread began a program: only it is left, with its process's PID."""
        former = self._threads[event_message(leader.tid)]
        if former is not leader:
            tid = leader.tid
            del self._threads[former.tid]
            self._remove_thread(leader)
            former.close()
            former.tid = tid
            self._threads[tid] = former
        self._leave(former)
        former.close()
        self._begin_program(former)
        ptrace(self._go_on, former.tid)

    def _begin_program(self, thread: Thread) -> None:
        self._world.run.programs += 1
        thread.process.limits, thread.process.mdwe = None, 0
        self._info.read(thread.tid)
        is_32_bit = self._info.arch != AUDIT_ARCH_X86_64
        memory = Memory.after_exec(self._world, thread, is_32_bit=is_32_bit)
        self._memories[thread] = memory

    def _change_bounds(self, caller: TracedProcess, operation: Operation, result: int) -> None:
        """Have all limits read again: a process may set those of another one."""
        if operation.name == MDWE and result == 0:
            caller.mdwe = operation.arguments[1]
        for process in self.processes.values():
            process.limits = None

    def _add_process(self, pid: int, parent: TracedProcess | None = None) -> TracedProcess:
        process = self.processes[pid] = TracedProcess(pid, parent)
        self._world.run.processes += 1
        return process

    def _add_thread(self, tid: int, process: TracedProcess) -> Thread:
        thread = self._threads[tid] = Thread(tid, process)
        process.threads += 1
        self._world.run.threads += 1
        return thread

    def _remove_thread(self, thread: Thread) -> None:
        del self._threads[thread.tid]
        self._leave(thread)
        thread.close()
        process = thread.process
        process.threads -= 1
        if not process.threads:
            del self.processes[process.pid]
            process.close()

    def _leave(self, thread: Thread) -> None:
        """Remove a thread from the users of its memory."""
        memory = self._memories.pop(thread, None)
        self._calls.pop(thread, None)
        if memory is not None:
            memory.leave(thread)
            if memory.users and memory.owner is None:
                self._let_in(memory)


def clone_flags(thread: Thread, operation: Operation) -> int:
    """Return the CLONE_* bits of a call that makes a thread or process."""
    if operation.name == "clone":
        return operation.arguments[0]
    if operation.name == "clone3":
        return int.from_bytes(thread.read(operation.arguments[0], _WORD), "little")
    return _CLONE_VM if operation.name == "vfork" else 0
