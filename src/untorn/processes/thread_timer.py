"""A signal to the calling thread, again and again, and to no other thread of the process."""

import ctypes
import errno
import struct
import threading
import time
from collections.abc import Callable

from untorn.errors import os_error

_SIGEV_THREAD_ID = 4
_SIGEVENT = "Piii"
"""value, signal, how, thread; the rest is zero. Source: sigevent(3type)."""
_SIGEVENT_SIZE = 64


def start_thread_timer(number: int, period_ns: int) -> Callable[[], None]:
    """Have a signal come to the calling thread every so often; return what ends it.

    Once that has returned, a signal that was on its way has arrived. (Those of setitimer() go to
    the process: another thread may take one and deliver it at any later time.)

    Args:
        number: Of the signal; it must have a handler.
        period_ns: Nanoseconds from one to the next.

    Raises:
        OSError: EAGAIN if there are too many timers or pending signals, ENOSYS if this C library
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
