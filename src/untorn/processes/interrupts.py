"""Interrupt the calling thread again and again, by perf's software clock or by a signal."""

import ctypes
import errno
import os
import struct
import threading
import time
from collections.abc import Callable

from untorn.errors import os_error

_SYS_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_PERF_TYPE_SOFTWARE, _PERF_COUNT_SW_CPU_CLOCK = 1, 0
_EXCLUDE_USER, _EXCLUDE_KERNEL, _EXCLUDE_HV = 1 << 4, 1 << 5, 1 << 6
_PERF_FLAG_FD_CLOEXEC = 8
_ATTR = "IIQQQQQ"
"""type, size, config, sample_period, sample_type, read_format, flags; the rest is zero."""
_ATTR_SIZE = 64
"""Bytes of the structure's first version. Source: PERF_ATTR_SIZE_VER0."""
_SIGEV_THREAD_ID = 4
_SIGEVENT = "Piii"
"""value, signal, how, thread; the rest is zero. Source: sigevent(3type)."""
_SIGEVENT_SIZE = 64


def open_cpu_clock(period_ns: int) -> int:
    """Let a timer interrupt the calling thread while it runs; return a descriptor that ends it.

    It samples nothing: with user and kernel excluded, the interrupt has nothing to record. So it is
    not throttled, however low perf's sysctls are, and an ordinary user may open it.

    Args:
        period_ns: Nanoseconds of the thread's CPU time between interrupts; the kernel uses at least
            10,000.

    Raises:
        OSError: EACCES or EPERM if perf_event_paranoid or a filter forbids it; ENOSYS if this
            kernel does not have the call, or we do not know its number on this machine.

    Source: perf_event_open(2); kernel/events/core.c:perf_swevent_hrtimer().
    """
    number = _SYS_PERF_EVENT_OPEN.get(os.uname().machine)
    if number is None:
        raise os_error(errno.ENOSYS)
    flags = _EXCLUDE_USER | _EXCLUDE_KERNEL | _EXCLUDE_HV
    kind = _PERF_TYPE_SOFTWARE, _ATTR_SIZE, _PERF_COUNT_SW_CPU_CLOCK
    attr = struct.pack(_ATTR, *kind, period_ns, 0, 0, flags).ljust(_ATTR_SIZE, b"\0")
    libc = ctypes.CDLL(None, use_errno=True)
    this_thread, any_cpu, no_group = map(ctypes.c_long, (0, -1, -1))
    arguments = this_thread, any_cpu, no_group, ctypes.c_ulong(_PERF_FLAG_FD_CLOEXEC)
    fd = int(libc.syscall(ctypes.c_long(number), attr, *arguments))
    if fd == -1:
        raise os_error(ctypes.get_errno())
    return fd


def start_thread_timer(number: int, period_ns: int) -> Callable[[], None]:
    """Send the calling thread a signal again and again; return a function that ends it.

    When that function has returned, every signal on its way has arrived. (Signals of setitimer() go
    to the process: another thread may take one and deliver it at any later time.)

    Args:
        number: The signal's number; it must have a handler.
        period_ns: Nanoseconds between signals.

    Raises:
        OSError: EAGAIN if there are too many timers or pending signals; ENOSYS if this C library
            has no such timers.

    Source: timer_create(2), SIGEV_THREAD_ID.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "timer_create"):
        raise os_error(errno.ENOSYS)
    thread = threading.get_native_id()
    event = struct.pack(_SIGEVENT, 0, number, _SIGEV_THREAD_ID, thread).ljust(_SIGEVENT_SIZE, b"\0")
    timer = ctypes.c_void_p()
    if libc.timer_create(time.CLOCK_MONOTONIC, event, ctypes.byref(timer)):
        raise os_error(ctypes.get_errno())
    seconds, ns = divmod(period_ns, 1_000_000_000)
    libc.timer_settime(timer, 0, struct.pack("qqqq", seconds, ns, seconds, ns), None)

    def stop() -> None:
        libc.timer_delete(timer)

    return stop
