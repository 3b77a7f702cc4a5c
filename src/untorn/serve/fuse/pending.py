"""Requests that are answered later, and callers that are killed before that.

The kernel reports once that the caller of a request got a signal, whatever signal it is, and then
makes it wait for the answer, even if it is killed. A caller that survives (most signals have a
handler, and Go sends itself many) must still get its answer: no read() of /proc fails with EINTR.
So after such a report we look after the caller until it is answered: if it is being killed, we let
it go.
Source: fs/fuse/dev.c:request_wait_answer().
"""

import errno
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from untorn.errors import os_error
from untorn.serve.fuse import libfuse
from untorn.serve.fuse.answers import Answer

_PERIOD = 0.05
"""Seconds between two looks at callers that got a signal."""
_PENDING = re.compile(rb"^(?:SigPnd|ShdPnd):\t([0-9a-f]+)$", re.MULTILINE)
_SIGKILL = 1 << 8
"""Any signal that kills its receiver becomes this one at once. Source: complete_signal()."""


class Pending:
    """A request that is answered once: with the result, or to let its caller go.

    Lock order: `_lock`, libfuse's lock of the request, the lock of PendingRequests; libfuse's lock
    of the session comes last.

    Attributes:
        number: Its number while its caller is looked after; None if it is not. Only
            PendingRequests.watch() writes it, and only once.
    """

    def __init__(self, request: int, tid: int) -> None:
        self._lock = threading.Lock()
        self._request: int | None = request  # None once it is answered; protected by _lock
        self._tid = tid
        self.number: int | None = None

    def answer(self, answer: Answer) -> bool:
        """Answer it unless it is already answered; return whether the answer arrived."""
        with self._lock:
            request, self._request = self._request, None
            return request is not None and answer(request)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep its caller asleep inside. Raises OSError EINTR if the caller was let go."""
        with self._lock:
            if self._request is None:
                raise os_error(errno.EINTR)
            yield

    def tell_of_signals(self, on_interrupt: object, number: int) -> bool:
        """Let libfuse report, by number, when its caller gets a signal; False if it is answered."""
        with self._lock:
            if self._request is not None:
                libfuse.fuse_req_interrupt_func(self._request, on_interrupt, number)
            return self._request is not None

    def let_go_if_killed(self, proc: str) -> bool:
        """Answer it if its caller is being killed and not held; return whether it is answered."""
        if not self._lock.acquire(blocking=False):
            return False
        try:  # until it is answered, its TID cannot be reused
            if self._request is not None and _is_killed(self._tid, proc):
                libfuse.fuse_reply_err(self._request, errno.EINTR)
                self._request = None
            return self._request is None
        finally:
            self._lock.release()


class PendingRequests:
    """The requests whose callers are looked after.

    Args:
        proc: Where procfs is mounted.
    """

    def __init__(self, proc: str) -> None:
        self._proc = proc
        self._lock = threading.Lock()
        self._by_number: dict[int, Pending] = {}  # protected by _lock, as are the next three
        self._last = 0
        self._signalled: list[Pending] = []
        self._looks_after = False
        self._on_interrupt = libfuse.INTERRUPT(self._interrupt)

    def watch(self, pending: Pending) -> None:
        """From now on let its caller go if it is killed. Any thread may call it; once is enough."""
        with self._lock:
            if pending.number is not None:
                return
            self._last += 1
            number = pending.number = self._last
            self._by_number[number] = pending
        # Either it is answered by now, or forget() will be called when it is.
        if not pending.tell_of_signals(self._on_interrupt, number):
            self.forget(pending)

    def forget(self, pending: Pending) -> None:
        """Stop looking after it: it is answered. Pairs with watch(), in either order."""
        if pending.number is not None:
            with self._lock:
                self._by_number.pop(pending.number, None)

    def _interrupt(self, request: int, number: int) -> None:
        """Record that a caller got a signal. The thread that received the report calls this."""
        with self._lock:
            pending = self._by_number.get(number)
            if pending is None:
                return
            self._signalled.append(pending)
            if self._looks_after:
                return
            self._looks_after = True
        try:
            threading.Thread(target=self._look_after, name="untorn-signals", daemon=True).start()
        except RuntimeError:  # too many threads: the next signal is another chance
            with self._lock:
                self._looks_after = False

    def _look_after(self) -> None:
        """Let killed callers go, until all that got a signal are answered."""
        pause = threading.Event()
        while True:
            with self._lock:
                signalled = list(self._signalled)
            answered = {each for each in signalled if each.let_go_if_killed(self._proc)}
            with self._lock:
                self._signalled = [each for each in self._signalled if each not in answered]
                self._looks_after = bool(self._signalled)
                if not self._looks_after:
                    return
            pause.wait(_PERIOD)


def _is_killed(tid: int, proc: str) -> bool:
    if not tid:
        return True  # we cannot see it: better let it go than keep it
    with suppress(FileNotFoundError, ProcessLookupError):
        status = Path(f"{proc}/{tid}/status").read_bytes()
        return any(int(signals, 16) & _SIGKILL for signals in _PENDING.findall(status))
    return True
