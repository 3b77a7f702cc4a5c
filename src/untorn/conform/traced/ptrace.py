"""ptrace(2) of a child of our own: stop it, and have it make one system call.

Each call costs four requests: set the registers, step over a syscall instruction, wait, get the
registers. Source: ptrace(2), waitpid(2).
"""

import ctypes
import os
import signal
from typing import Self

from untorn.conform.traced.abi import ORIG_RAX, RAX, RIP, X86_64, Abi
from untorn.errors import os_error

PTRACE_CONT = 7
PTRACE_SINGLESTEP = 9
PTRACE_GETREGS = 12
PTRACE_SETREGS = 13
PTRACE_SETOPTIONS = 0x4200
PTRACE_GETEVENTMSG = 0x4201
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_O_TRACEFORK = 0x2
PTRACE_O_TRACEEXEC = 0x10
PTRACE_O_EXITKILL = 0x10_0000
PTRACE_EVENT_FORK = 1
PTRACE_EVENT_EXEC = 4
PTRACE_EVENT_STOP = 128

_WALL = 0x4000_0000
_CLONE_PARENT = 0x8000
_TRAP = signal.SIGTRAP << 8 | 0x7F
"""Wait status of a child that a trap stopped."""
_REGISTERS = 27
_NO_SYSCALL = (1 << 64) - 1
"""In orig_rax: there is none to restart."""

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_ptrace.restype = ctypes.c_long


def _request(request: int, pid: int, addr: int = 0, data: int = 0) -> None:
    if _ptrace(request, pid, addr, data) == -1:
        raise os_error(ctypes.get_errno())


class Tracee:
    """A traced child, stopped whenever no method runs. It is killed when its tracer ends.

    Only the thread that made it may use it: the kernel ties tracing to a thread.

    Attributes:
        pid: Its ID; 0 once it ended.
        abi: What its program is compiled for.
    """

    __slots__ = ("_registers", "_where", "abi", "pid")

    def __init__(self, pid: int, abi: Abi = X86_64) -> None:
        """Take over a child that is traced already, and about to stop."""
        self.pid = pid
        self.abi = abi
        self._registers = (ctypes.c_int64 * _REGISTERS)()
        self._where = ctypes.addressof(self._registers)
        self._expect(PTRACE_EVENT_STOP << 16 | _TRAP)
        self._ask(PTRACE_GETREGS, self._where)

    @classmethod
    def seize(cls, pid: int, abi: Abi = X86_64) -> Self:
        """Trace and stop a child.

        Raises:
            OSError: EPERM if that is forbidden, ESRCH if there is no such process.
            ChildProcessError: It ended.
        """
        _request(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL)
        _request(PTRACE_INTERRUPT, pid)
        tracee = cls(pid, abi)
        # Not before: the exec that the child begins with need not be over when it is seized.
        options = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK
        tracee._ask(PTRACE_SETOPTIONS, options)
        return tracee

    def call(self, syscall_at: int, name: str, *arguments: int) -> int:
        """Have the child make a system call.

        Args:
            syscall_at: Byte address of an instruction in the child that makes a system call.
            name: One of Abi.numbers.
            arguments: At most six, each in a whole register, whose bits count.

        Returns:
            What the kernel returns, signed: an errno negated if it is from -4095 to -1.

        Raises:
            ChildProcessError: The child ended, or a signal came in between.
        """
        self._prepare(syscall_at, name, arguments)
        self._ask(PTRACE_SINGLESTEP)
        self._expect(_TRAP)
        return self._result()

    def exec(self, syscall_at: int, name: str, *arguments: int) -> None:
        """Have the child make an execve(2) or execveat(2); stop before its first instruction.

        Raises:
            OSError: with the errno of the call.
            ChildProcessError: as call().
        """
        self._prepare(syscall_at, name, arguments)
        self._ask(PTRACE_SINGLESTEP)
        executed = self._expect(PTRACE_EVENT_EXEC << 16 | _TRAP, _TRAP) != _TRAP
        if executed:
            self._ask(PTRACE_SINGLESTEP)
            self._expect(_TRAP)
        result = self._result()
        if not executed:
            raise os_error(-result)

    def fork(self, syscall_at: int) -> "Tracee":
        """Have the child copy itself; return the copy, a child of ours too, traced and stopped.

        Raises:
            OSError: with the errno of clone(2).
            ChildProcessError: as call().
        """
        self._prepare(syscall_at, "clone", (_CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0))
        self._ask(PTRACE_SINGLESTEP)
        if self._expect(PTRACE_EVENT_FORK << 16 | _TRAP, _TRAP) == _TRAP:
            raise os_error(-self._result())
        pid = ctypes.c_ulong()
        self._ask(PTRACE_GETEVENTMSG, ctypes.addressof(pid))
        try:
            copy = Tracee(pid.value, self.abi)
            self._ask(PTRACE_SINGLESTEP)
            self._expect(_TRAP)
        except BaseException:
            end_child(pid.value)
            raise
        return copy

    def end(self) -> None:
        """Kill the child and wait for its end; once is enough, twice does no harm."""
        pid, self.pid = self.pid, 0
        if pid:
            end_child(pid)

    def _prepare(self, syscall_at: int, name: str, arguments: tuple[int, ...]) -> None:
        registers, abi = self._registers, self.abi
        registers[RIP], registers[RAX] = syscall_at, abi.numbers[name]
        registers[ORIG_RAX] = _NO_SYSCALL
        values = abi.registers(name, arguments)
        for register, value in zip(abi.arguments, values, strict=False):
            registers[register] = value
        self._ask(PTRACE_SETREGS, self._where)

    def _result(self) -> int:
        self._ask(PTRACE_GETREGS, self._where)
        return self.abi.result(self._registers[RAX])

    def _ask(self, request: int, data: int = 0) -> None:
        try:
            _request(request, self.pid, 0, data)
        except ProcessLookupError:
            raise ChildProcessError(f"the traced child {self.pid} ended") from None

    def _expect(self, *wanted: int) -> int:
        """Wait for the next stop and return its status, which must be a wanted one."""
        _, status = os.waitpid(self.pid, _WALL)
        if not os.WIFSTOPPED(status):
            pid, self.pid = self.pid, 0  # it may be another process's from now on
            raise ChildProcessError(f"the traced child {pid} ended, wait status {status:#x}")
        if status >> 8 not in [each >> 8 for each in wanted]:
            number = signal.Signals(os.WSTOPSIG(status) & 0x7F).name
            raise ChildProcessError(f"the traced child {self.pid} was stopped by {number}")
        return status


def end_child(pid: int) -> None:
    """Kill a child, traced or not, by its pid, and wait for its end."""
    os.kill(pid, signal.SIGKILL)
    while os.WIFSTOPPED(os.waitpid(pid, _WALL)[1]):
        pass
