"""Ctrl-C and SIGTERM: noted when they come, acted upon only where that does no harm.

We use handlers that only note the signal, not the signal mask: a thread that a library started
(numpy does so) takes a signal that the main thread blocks, and the handler then runs in the main
thread, wherever that is.
"""

import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from untorn.processes.told import told_to_stop

SIGNALS = signal.SIGINT, signal.SIGTERM


class _Note:
    """Whether a signal came, and when; belongs to the main thread, which runs the handlers."""

    __slots__ = ("_writing", "came", "fd")

    def __init__(self) -> None:
        self.came = False
        self.fd, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def install(self) -> ExitStack:
        """Take over the signals that are not ignored; closing the stack gives them back."""
        with ExitStack() as stack:
            stack.callback(os.close, self.fd)
            stack.callback(os.close, self._writing)
            for number in SIGNALS:
                before = signal.getsignal(number)
                if before is not signal.SIG_IGN:
                    stack.callback(signal.signal, number, before)
                    signal.signal(number, self._take)
            # Ends a wait even if another thread took the signal.
            wakeup = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
            stack.callback(signal.set_wakeup_fd, wakeup)
            return stack.pop_all()

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.came = True


_note: _Note | None = None


@contextmanager
def endings_held() -> Iterator[None]:
    """Run all that is inside; afterwards raise KeyboardInterrupt if an ending was asked for.

    Inside, wait_readable() raises it at once, and ending_taken() takes it without an exception.
    When nested, and in threads other than the main one, it does nothing.
    """
    global _note
    if _note is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    note = _note = _Note()
    installed = note.install()
    try:
        yield
    finally:
        _note = None
        installed.close()
        if note.came:
            raise KeyboardInterrupt


def raise_ending() -> None:
    """Raise KeyboardInterrupt if an ending was asked for inside endings_held()."""
    if ending_taken():
        raise KeyboardInterrupt


def ending_taken() -> bool:
    """Return whether an ending was asked for inside endings_held(), and count it as acted upon.

    In a worker that was told to stop, it returns True each time.
    """
    if _note is None or not _note.came:
        return told_to_stop()
    _note.came = False
    return True


def wait_readable(fd: int, timeout: float) -> bool:
    """Wait until a descriptor is readable, at most `timeout` seconds; return whether it is.

    Raises:
        KeyboardInterrupt: An ending was asked for.
    """
    note = _note
    if note is None:
        return bool(select.select([fd], [], [], timeout)[0])
    end = time.monotonic() + timeout
    while True:
        readable = select.select([fd, note.fd], [], [], max(0, end - time.monotonic()))[0]
        if note.fd in readable:
            os.read(note.fd, select.PIPE_BUF)
        raise_ending()
        if fd in readable or note.fd not in readable:  # otherwise another signal ended the wait
            return fd in readable
