"""Processes and threads of a traced program, as the kernel shows them from outside."""

import errno
import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from untorn.conform.traced.bounds import CAP_IPC_LOCK, CAP_SYS_ADMIN, CAP_SYS_NICE, CAP_SYS_RAWIO
from untorn.mm.limits import RLIM_INFINITY, Limits

READ_IMPLIES_EXEC, ADDR_NO_RANDOMIZE = 0x40_0000, 0x4_0000
_REFUSE_EXEC_GAIN, _NO_INHERIT = 1, 2
"""PR_MDWE_* bits. Source: include/uapi/linux/prctl.h."""
_PIDFD_THREAD = os.O_EXCL
_ASLEEP = re.compile(rb"^State:\t[SD]", re.MULTILINE)
_CHUNK = 1 << 16


class TracedProcess:
    """A thread group.

    Attributes:
        pid: Its PID.
        pidfd: A pidfd to kill it, whoever reaps it meanwhile.
        threads: How many threads it has.
        limits: Limits of its calls; None if something changed them and they must be read again.
        mdwe: PR_MDWE_* bits that it set, which /proc does not show.
        read_implies_exec: Whether its personality says so; read with the limits.
    """

    def __init__(self, pid: int, parent: "TracedProcess | None" = None) -> None:
        """Create the record of a process; what it does not inherit is read from the kernel."""
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.threads = 0
        self.limits: Limits | None = None
        self.mdwe: int = 0 if parent is None or parent.mdwe & _NO_INHERIT else parent.mdwe
        self.read_implies_exec = False

    @property
    def personality(self) -> int:
        """Bits of sys/personality.h, such as ADDR_NO_RANDOMIZE."""
        return int((self._newest_thread() / "personality").read_text(), 16)

    def limits_now(self, machine: Limits) -> Limits:
        """Return its limits and capabilities, together with this machine's limits.

        Raises:
            OSError: ESRCH or ENOENT if it has ended.
        """
        if self.limits is None:
            self.limits = self._ask(machine)
        return self.limits

    def capabilities(self) -> int:
        """Return those that count outside its user namespace: none if it has one of its own."""
        place = self._newest_thread()
        if (place / "ns/user").readlink() != Path("/proc/self/ns/user").readlink():
            return 0
        status = (place / "status").read_text()
        return int(status.partition("CapEff:")[2].split()[0], 16)

    def close(self) -> None:
        """Drop it."""
        os.close(self.pidfd)

    def _newest_thread(self) -> Path:
        """Return a living thread's directory in /proc: an ended main thread shows little."""
        tasks = Path(f"/proc/{self.pid}/task")
        return max(tasks.iterdir(), key=lambda task: int(task.name))

    def _ask(self, machine: Limits) -> Limits:
        soft, hard = self._rlimits()
        capabilities = self.capabilities()
        self.read_implies_exec = bool(self.personality & READ_IMPLIES_EXEC)
        return replace(
            machine,
            rlimit_as=soft["address space"],
            rlimit_data=soft["data size"],
            rlimit_data_max=hard["data size"],
            rlimit_memlock=soft["locked memory"],
            rlimit_stack=soft["stack size"],
            cap_ipc_lock=bool(capabilities >> CAP_IPC_LOCK & 1),
            cap_sys_nice=bool(capabilities >> CAP_SYS_NICE & 1),
            cap_sys_rawio=bool(capabilities >> CAP_SYS_RAWIO & 1),
            cap_sys_admin=bool(capabilities >> CAP_SYS_ADMIN & 1),
            deny_write_exec=bool(self.mdwe & _REFUSE_EXEC_GAIN),
        )

    def _rlimits(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return its soft and hard limits in bytes, by the names that /proc has for them.

        prlimit(2) shows another user's only with CAP_SYS_RESOURCE.
        """
        text = Path(f"/proc/{self.pid}/limits").read_text()
        found = re.findall(r"^Max (.*?) +(\w+) +(\w+) +bytes", text, re.MULTILINE)
        soft = {name: _bytes(limit) for name, limit, _ in found}
        return soft, {name: _bytes(limit) for name, _, limit in found}


@dataclass(eq=False)
class Thread:
    """A traced thread.

    Attributes:
        tid: Its TID.
        process: Its thread group.
    """

    tid: int
    process: TracedProcess

    @cached_property
    def pidfd(self) -> int:
        """A pidfd of the thread itself; before Linux 6.9 of its process."""
        try:
            return os.pidfd_open(self.tid, _PIDFD_THREAD)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return os.pidfd_open(self.process.pid)

    @cached_property
    def _status(self) -> int:
        return os.open(f"/proc/{self.tid}/status", os.O_RDONLY | os.O_CLOEXEC)

    @cached_property
    def _mem(self) -> int:
        return os.open(f"/proc/{self.tid}/mem", os.O_RDONLY | os.O_CLOEXEC)

    def status(self) -> bytes:
        """Return the text of its status. Raises OSError ESRCH if it is gone."""
        return os.pread(self._status, _CHUNK, 0)

    def is_asleep(self) -> bool:
        """Return whether it waits in the kernel; otherwise it runs, is ready, or is stopped."""
        return _ASLEEP.search(self.status()) is not None

    def read(self, addr: int, size: int) -> bytes:
        """Return the readable bytes at a byte address.

        Raises:
            OSError: EIO if none can be read.
        """
        return os.pread(self._mem, size, addr)

    def close(self) -> None:
        """Close its open files; they can be opened again."""
        for name in ("pidfd", "_status", "_mem"):
            with suppress(KeyError):
                os.close(self.__dict__.pop(name))


def _bytes(limit: str) -> int:
    return RLIM_INFINITY if limit == "unlimited" else int(limit)
