"""ptrace(2): its requests, and a stopped child of ours that we let make system calls.

Each such call costs four requests: set the registers, step over a syscall instruction, wait, get
the registers. Source: ptrace(2), waitpid(2).
"""

import ctypes
import os
import signal
import struct
from typing import Self

from untorn.conform.traced.abi import ORIG_RAX, RAX, RIP, X86_64, Abi
from untorn.errors import os_error

PTRACE_CONT = 7
PTRACE_SINGLESTEP = 9
PTRACE_GETREGS = 12
PTRACE_SETREGS = 13
PTRACE_DETACH = 17
PTRACE_SYSCALL = 24
PTRACE_SETOPTIONS = 0x4200
PTRACE_GETEVENTMSG = 0x4201
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_LISTEN = 0x4208
PTRACE_GET_SYSCALL_INFO = 0x420E
SYSCALL_ENTRY, SYSCALL_EXIT, SYSCALL_SECCOMP = 1, 2, 3
AUDIT_ARCH_X86_64 = 0xC000_003E
PTRACE_O_TRACESYSGOOD = 0x1
PTRACE_O_TRACEFORK = 0x2
PTRACE_O_TRACEVFORK = 0x4
PTRACE_O_TRACECLONE = 0x8
PTRACE_O_TRACEEXEC = 0x10
PTRACE_O_TRACESECCOMP = 0x80
PTRACE_O_EXITKILL = 0x10_0000
PTRACE_EVENT_FORK = 1
PTRACE_EVENT_VFORK = 2
PTRACE_EVENT_CLONE = 3
PTRACE_EVENT_EXEC = 4
PTRACE_EVENT_SECCOMP = 7
PTRACE_EVENT_STOP = 128

WALL, WNOTHREAD = 0x4000_0000, 0x2000_0000
"""For waitpid(2): all kinds of children; only those of the calling thread."""
_CLONE_PARENT = 0x8000
_TRAP = signal.SIGTRAP << 8 | 0x7F
"""Wait status of a child that a trap stopped."""
_REGISTERS = 27
_SYSCALL_INFO = struct.Struct("=B3xI16x7q8x")
"""op, arch, instruction and stack pointer; number and arguments, or the result; the rest."""
_NO_SYSCALL = (1 << 64) - 1
"""In orig_rax: there is no call to restart."""

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_ptrace.restype = ctypes.c_long


def ptrace(request: int, pid: int, data: int = 0, addr: int = 0) -> None:
    """Make a request.

    Raises:
        OSError: ESRCH if there is no such thread, or it is not stopped; EPERM; EIO.
    """
    if _ptrace(request, pid, addr, data) == -1:
        raise os_error(ctypes.get_errno())


def event_message(pid: int) -> int:
    """Return the message of a thread that stopped at an event. Raises OSError as ptrace()."""
    message = ctypes.c_ulong()
    ptrace(PTRACE_GETEVENTMSG, pid, ctypes.addressof(message))
    return message.value


class Registers:
    """The registers of a stopped thread, signed: a buffer for any number of reads and writes.

    Attributes:
        where: The data argument of PTRACE_GETREGS and PTRACE_SETREGS.
    """

    __slots__ = ("_values", "where")

    def __init__(self) -> None:
        self._values = (ctypes.c_int64 * _REGISTERS)()
        self.where = ctypes.addressof(self._values)

    def result(self, abi: Abi) -> int:
        """Return the result of a system call: a negated errno if it is from -4095 to -1."""
        return abi.result(self._values[RAX])

    def prepare(self, abi: Abi, at: int, name: str, arguments: tuple[int, ...]) -> None:
        """Set the registers to make this system call by the instruction at this byte address."""
        values = self._values
        values[RIP], values[RAX], values[ORIG_RAX] = at, abi.numbers[name], _NO_SYSCALL
        held = abi.registers(name, arguments)
        for register, value in zip(abi.arguments, held, strict=False):
            values[register] = value


class SyscallInfo:
    """What a stopped thread shows of the system call before or after which it stopped.

    Attributes:
        op: SYSCALL_ENTRY, SYSCALL_EXIT, SYSCALL_SECCOMP or, at another stop, 0.
        arch: AUDIT_ARCH_X86_64, or that of another kind of program.
        number: Number of the call; valid before it.
        arguments: All six; valid before the call.
        result: Valid after the call: a negated errno if it is from -4095 to -1.

    Source: ptrace(2), PTRACE_GET_SYSCALL_INFO; since Linux 5.3.
    """

    __slots__ = ("_buffer", "_where", "arch", "arguments", "number", "op", "result")

    arguments: tuple[int, ...]

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(_SYSCALL_INFO.size)
        self._where = ctypes.addressof(self._buffer)

    def read(self, pid: int) -> None:
        """Read it from a thread. Raises OSError as ptrace()."""
        ptrace(PTRACE_GET_SYSCALL_INFO, pid, self._where, _SYSCALL_INFO.size)
        unpacked = _SYSCALL_INFO.unpack(self._buffer)
        self.op, self.arch, self.number, *arguments = unpacked
        self.arguments, self.result = tuple(arguments), self.number


class Tracee:
    """A traced child, stopped while no method runs. It is killed when its tracer ends.

    Only the thread that made it may use it: the kernel ties tracing to a thread.

    Attributes:
        pid: Its PID; 0 once it has ended.
        abi: The ABI of its program.
    """

    __slots__ = ("_registers", "abi", "pid")

    def __init__(self, pid: int, abi: Abi = X86_64) -> None:
        """Take over a child that is already traced, and about to stop."""
        self.pid = pid
        self.abi = abi
        self._registers = Registers()
        self._expect(PTRACE_EVENT_STOP << 16 | _TRAP)
        self._result()

    @classmethod
    def seize(cls, pid: int, abi: Abi = X86_64) -> Self:
        """Trace and stop a child.

        Raises:
            OSError: EPERM if that is forbidden, ESRCH if there is no such process.
            ChildProcessError: It has ended.
        """
        ptrace(PTRACE_SEIZE, pid, PTRACE_O_EXITKILL)
        ptrace(PTRACE_INTERRUPT, pid)
        tracee = cls(pid, abi)
        # Only now: the exec that starts the child may still be under way when we seize it.
        options = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK
        tracee._ask(PTRACE_SETOPTIONS, options)
        return tracee

    def call(self, syscall_at: int, name: str, *arguments: int) -> int:
        """Let the child make a system call.

        Args:
            syscall_at: Byte address of a system call instruction in the child.
            name: One of Abi.numbers.
            arguments: At most six; all bits of each register count.

        Returns:
            What the kernel returns, signed: a negated errno if it is from -4095 to -1.

        Raises:
            ChildProcessError: The child ended, or a signal came in between.
        """
        self._prepare(syscall_at, name, arguments)
        self._ask(PTRACE_SINGLESTEP)
        self._expect(_TRAP)
        return self._result()

    def exec(self, syscall_at: int, name: str, *arguments: int) -> None:
        """Let the child call execve(2) or execveat(2); it stops before its first instruction.

        Raises:
            OSError: The errno of the call.
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
        """Let the child fork; return the copy, which is also our child, traced and stopped.

        Raises:
            OSError: The errno of clone(2).
            ChildProcessError: as call().
        """
        self._prepare(syscall_at, "clone", (_CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0))
        self._ask(PTRACE_SINGLESTEP)
        if self._expect(PTRACE_EVENT_FORK << 16 | _TRAP, _TRAP) == _TRAP:
            raise os_error(-self._result())
        pid = event_message(self.pid)
        try:
            copy = Tracee(pid, self.abi)
            self._ask(PTRACE_SINGLESTEP)
            self._expect(_TRAP)
        except BaseException:
            end_child(pid)
            raise
        return copy

    def end(self) -> None:
        """Kill the child and wait for its end; a second call does nothing."""
        pid, self.pid = self.pid, 0
        if pid:
            end_child(pid)

    def _prepare(self, syscall_at: int, name: str, arguments: tuple[int, ...]) -> None:
        self._registers.prepare(self.abi, syscall_at, name, arguments)
        self._ask(PTRACE_SETREGS, self._registers.where)

    def _result(self) -> int:
        """Read the registers; return the result of the call that was made."""
        self._ask(PTRACE_GETREGS, self._registers.where)
        return self._registers.result(self.abi)

    def _ask(self, request: int, data: int = 0) -> None:
        """Make a request; raise ChildProcessError if the child is gone."""
        try:
            ptrace(request, self.pid, data)
        except ProcessLookupError:
            raise ChildProcessError(f"the traced child {self.pid} ended") from None

    def _expect(self, *wanted: int) -> int:
        """Wait for the next stop and return its status, which must be a wanted one."""
        _, status = os.waitpid(self.pid, WALL)
        if not os.WIFSTOPPED(status):
            pid, self.pid = self.pid, 0  # it may soon be another process's
            raise ChildProcessError(f"the traced child {pid} ended, wait status {status:#x}")
        if status >> 8 not in [each >> 8 for each in wanted]:
            number = signal.Signals(os.WSTOPSIG(status) & 0x7F).name
            raise ChildProcessError(f"the traced child {self.pid} was stopped by {number}")
        return status


def end_child(pid: int) -> None:
    """Kill a child, traced or not, by its PID, and wait for its end."""
    os.kill(pid, signal.SIGKILL)
    while os.WIFSTOPPED(os.waitpid(pid, WALL)[1]):
        pass
