"""One look serves all who ask.

Whoever asks gets what was read at most max_age before, or what a look in progress finds that began
no longer ago. Else a look begins, by a thread of its own: so whoever asks waits no longer than its
patience, however long the look takes. If there is one in progress that began too long ago, the next
begins when it is over, and serves all who asked since: of each file there is one look at a time,
and of a process that is stuck no more threads than it has files.

A look that was late for somebody serves the next who asks, if nothing newer was found, until two
minutes after it began. If it served for less, whoever asks once a minute about a process that takes
longer than its patience would never get anything. Where nobody asks at all, nothing is done, and
nothing let go of.
"""

import errno
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from untorn.errors import os_error
from untorn.serve.host.watched import Kind, Watched
from untorn.serve.host.workers import Workers
from untorn.serve.text.text import Text

Look = Callable[[Watched, Kind], Text]
Key = tuple[Watched, Kind]
_KEPT = 120.0
"""Seconds for which is kept what nobody asks for, and what was late for somebody: longer than from
one scrape to the next."""
_MOST_BYTES = 64 << 20
"""Of all texts that are kept; what was asked for last stays."""
_QUICK = 0.005
"""Seconds."""
_SWEEP = 1.0
"""Seconds from one look for what is to go to the next, if anybody asks at all."""


class Late(StrEnum):
    """What those get whose patience ends before the look does."""

    LAST = "last"
    """What the last look found; ETIMEDOUT if there is none."""
    ERROR = "error"
    """ETIMEDOUT."""


@dataclass(slots=True, eq=False)
class _Look:
    """One look.

    Its fields are protected by the lock of SharedLooks. Once it is over, what it found does not
    change any more, and is read without: it was written before `over` was set.
    """

    over: threading.Event = field(default_factory=threading.Event)
    began: float | None = None  # None before it does
    text: Text | None = None
    size: int = 0  # bytes of the text
    error: BaseException | None = None  # if there is no text
    owed: bool = False  # it was late for somebody, and served nobody since

    def result(self) -> Text:
        """Return what it found, or raise its error. It is over."""
        if self.text is None:
            assert self.error is not None
            raise self.error.with_traceback(None)  # or each who raises it makes that longer
        return self.text


@dataclass(slots=True, eq=False)
class _File:
    """What is known of one file of a process. Its fields are protected by the lock."""

    asked: float = 0.0
    last: _Look | None = None  # over, with a text
    going: _Look | None = None
    later: _Look | None = None  # begins when that is over
    quick: bool = False  # whether the last look was


class SharedLooks:
    """What looks found, and those in progress. May be used by any thread.

    Lock order: the lock here is innermost; while it is held nobody looks, waits or starts a thread.

    Args:
        look: Makes a look.
        workers: By which threads.
        turn: Is entered for each look; waits until that may begin.
        max_age: Seconds; how old what is served may be.
        patience: Seconds; how long anybody waits.
        late: What they get then.
        clock: Says what time it is, in seconds.
    """

    def __init__(
        self,
        look: Look,
        workers: Workers,
        turn: Callable[[], AbstractContextManager[object]] = nullcontext,
        *,
        max_age: float,
        patience: float,
        late: Late,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look, self._workers, self._turn, self._clock = look, workers, turn, clock
        self._max_age, self._patience, self._if_late = max_age, patience, late
        self._lock = threading.Lock()  # protects all below
        self._files: dict[Key, _File] = {}  # those asked for last come last
        self._swept = clock()
        self._late = self._failed = 0
        self._closed = False

    @property
    def late(self) -> int:
        """How often somebody's patience ended."""
        with self._lock:
            return self._late

    @property
    def failed(self) -> int:
        """How many looks found no text."""
        with self._lock:
            return self._failed

    @property
    def size(self) -> int:
        """Bytes of all texts that are kept."""
        with self._lock:
            return self._size()

    def cached(self, process: Watched, kind: Kind) -> Text | None:
        """Return what text() would return at once; None if it would wait for a look."""
        with self._lock:
            file = self._files.get((process, kind))
            return file.last.text if file and file.last and self._serves(file.last) else None

    def is_quick(self, process: Watched, kind: Kind) -> bool:
        """Tell whether the last look took no longer than a hand-over from thread to thread may."""
        with self._lock:
            file = self._files.get((process, kind))
            return file is not None and file.quick

    def text(self, process: Watched, kind: Kind) -> Text:
        """Return a text, after a look if it takes one.

        Raises:
            OSError: ETIMEDOUT if it is not there in time; ESHUTDOWN if closed; what the look
                raised.
        """
        key = process, kind
        with self._lock:
            file = self._asked(key)
            if file.last and self._serves(file.last):
                file.last.owed = False
                return file.last.result()
            look, begins = self._join(file)
        if begins:
            self._begin(key, file, look)
        return self._wait(file, look)

    def forget(self, process: Watched) -> None:
        """Let go of a process that is gone. Who waits for a look at it still gets what it finds."""
        with self._lock:
            for kind in Kind:
                self._files.pop((process, kind), None)

    def close(self) -> None:
        """Have nobody wait any more."""
        with self._lock:
            self._closed = True
            for file in self._files.values():
                for look in file.going, file.later:
                    if look:
                        look.error = os_error(errno.ESHUTDOWN)
                        look.over.set()
            self._files.clear()

    def _asked(self, key: Key) -> _File:
        """Return what is known of a file that somebody asks for now. The lock is held."""
        if self._closed:
            raise os_error(errno.ESHUTDOWN)
        now = self._clock()
        if now - self._swept >= _SWEEP:
            self._sweep(now)
        file = self._files.pop(key, None) or _File()
        file.asked = now
        self._files[key] = file
        return file

    def _serves(self, look: _Look) -> bool:
        """Tell whether a look that found something serves who asks now. The lock is held."""
        return self._is_young(look, max(self._max_age, _KEPT) if look.owed else self._max_age)

    def _is_young(self, look: _Look, most: float) -> bool:
        """Tell whether it began at most so many seconds ago, if it did."""
        return look.began is None or self._clock() - look.began <= most

    def _join(self, file: _File) -> tuple[_Look, bool]:
        """Return a look that serves who asks now, and whether it is to begin. The lock is held."""
        if file.going is None:
            file.going = _Look()
            return file.going, True
        if self._is_young(file.going, self._max_age):
            return file.going, False
        file.later = file.later or _Look()
        return file.later, False

    def _begin(self, key: Key, file: _File, look: _Look) -> None:
        try:
            self._workers.begin(partial(self._make, key, file, look))
        except OSError as error:
            self._end(key, file, look, error)

    def _make(self, key: Key, file: _File, look: _Look) -> None:
        """Make a look, and those that are to follow it."""
        following: _Look | None = look
        while following:
            with self._turn():
                with self._lock:
                    following.began = self._clock()
                found = self._found(key)
            following = self._end(key, file, following, found)

    def _found(self, key: Key) -> Text | BaseException:
        """Return what a look finds, or why nothing: of whatever kind, somebody waits for it."""
        try:
            return self._look(*key)
        except BaseException as error:
            return error

    def _end(self, key: Key, file: _File, look: _Look, found: Text | BaseException) -> _Look | None:
        """Note what a look found; return the one that is to begin now."""
        with self._lock:
            if look.over.is_set():  # closed
                return None
            if isinstance(found, Text):
                look.text, look.size = found, found.size
                file.last = look
            else:
                look.error = found
                self._failed += 1
                if not isinstance(found, TimeoutError):  # what is gone or forbidden is not served
                    file.last = None
            file.quick = look.began is not None and self._clock() - look.began < _QUICK
            file.going, file.later = file.later, None
            if not (file.last or file.going) and self._files.get(key) is file:
                del self._files[key]
            look.over.set()
            return file.going

    def _wait(self, file: _File, look: _Look) -> Text:
        if look.over.wait(self._patience):
            return look.result()
        with self._lock:
            if look.over.is_set():
                return look.result()
            look.owed = True
            self._late += 1
            if self._if_late is Late.LAST and file.last:
                return file.last.result()
        reason = f"no answer within {self._patience:g} s"
        raise TimeoutError(errno.ETIMEDOUT, reason)

    def _sweep(self, now: float) -> None:
        """Let go of what nobody asks for, and of what is too much. The lock is held."""
        self._swept = now
        size = self._size()
        for key, file in list(self._files.items()):
            if file.asked >= now - _KEPT and size <= _MOST_BYTES:
                break  # so is the rest
            if file.going is None:
                size -= file.last.size if file.last else 0
                del self._files[key]

    def _size(self) -> int:
        return sum(file.last.size for file in self._files.values() if file.last)
