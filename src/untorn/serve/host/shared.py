"""One look serves all callers.

A caller gets what was read at most max_age ago, or the result of a look under way that began no
longer ago. Otherwise a look begins in a thread of its own: so no caller waits for longer than its
patience, however long the look takes. If a look is under way that began too long ago, the next one
begins after it, and serves all who asked meanwhile: so there is one look at a time per file, and a
stuck process has no more threads than files.

A look that was late for a caller serves the next one, if nothing newer was found, until two
minutes after it began. Otherwise a caller that asks once a minute about a process which takes
longer than its patience would never get anything. If no caller asks at all, nothing is done, and
nothing is dropped.
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
"""Seconds to keep texts that no caller asks for, or that were late for a caller: longer than the
time from one scrape to the next."""
_MOST_BYTES = 64 << 20
"""Bytes of all texts that are kept; the one asked for last always stays."""
_QUICK = 0.005
"""Seconds."""
_SWEEP = 1.0
"""Seconds between two searches for texts to drop, if any caller asks at all."""


class Late(StrEnum):
    """What callers get whose patience ends before the look does."""

    LAST = "last"
    """The result of the last look; ETIMEDOUT if there is none."""
    ERROR = "error"
    """ETIMEDOUT."""


@dataclass(slots=True, eq=False)
class _Look:
    """One look.

    The lock of SharedLooks protects its fields. Once it has ended, its result never changes, and is
    read without the lock: it was written before `over` was set.
    """

    over: threading.Event = field(default_factory=threading.Event)
    began: float | None = None  # None before it begins
    text: Text | None = None
    size: int = 0  # bytes of the text
    error: BaseException | None = None  # if there is no text
    owed: bool = False  # it was late for a caller, and has served none since

    def result(self) -> Text:
        """Return its result, or raise its error. It has ended."""
        if self.text is None:
            assert self.error is not None
            raise self.error.with_traceback(None)  # or each raise would make it longer
        return self.text


@dataclass(slots=True, eq=False)
class _File:
    """What is known of one file of a process. The lock protects its fields."""

    asked: float = 0.0
    last: _Look | None = None  # ended, with a text
    going: _Look | None = None
    later: _Look | None = None  # begins when that has ended
    quick: bool = False  # whether the last look was quick


class SharedLooks:
    """The results of looks, and looks under way. Any thread may use it.

    Lock order: the lock here is innermost; no thread looks, waits or starts another under it.

    Args:
        look: Makes a look.
        workers: The threads that look.
        turn: A context for each look; it waits until the look may begin.
        max_age: How old served texts may be, in seconds.
        patience: Seconds that a caller waits.
        late: What a caller gets after that.
        clock: Returns the time in seconds.
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
        self._lock = threading.Lock()  # protects everything below
        self._files: dict[Key, _File] = {}  # the last asked for come last
        self._swept = clock()
        self._late = self._failed = 0
        self._closed = False

    @property
    def late(self) -> int:
        """How often a caller's patience ended."""
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
        """Return whether the last look took no longer than handing it to another thread may."""
        with self._lock:
            file = self._files.get((process, kind))
            return file is not None and file.quick

    def text(self, process: Watched, kind: Kind) -> Text:
        """Return a text, after a look if needed.

        Raises:
            OSError: ETIMEDOUT if it does not come in time; ESHUTDOWN if closed; or what the look
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
        """Drop a process that is gone. Callers that wait for a look at it still get its result."""
        with self._lock:
            for kind in Kind:
                self._files.pop((process, kind), None)

    def close(self) -> None:
        """Let no caller wait any more."""
        with self._lock:
            self._closed = True
            for file in self._files.values():
                for look in file.going, file.later:
                    if look:
                        look.error = os_error(errno.ESHUTDOWN)
                        look.over.set()
            self._files.clear()

    def _asked(self, key: Key) -> _File:
        """Return what is known of a file that is asked for now. The lock is held."""
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
        """Return whether a look with a result serves a caller now. The lock is held."""
        return self._is_young(look, max(self._max_age, _KEPT) if look.owed else self._max_age)

    def _is_young(self, look: _Look, most: float) -> bool:
        """Return whether it began at most `most` seconds ago, or has not begun."""
        return look.began is None or self._clock() - look.began <= most

    def _join(self, file: _File) -> tuple[_Look, bool]:
        """Return a look that serves a caller now, and whether to begin it. The lock is held."""
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
        """Make a look, and those that follow it."""
        following: _Look | None = look
        while following:
            with self._turn():
                with self._lock:
                    following.began = self._clock()
                found = self._found(key)
            following = self._end(key, file, following, found)

    def _found(self, key: Key) -> Text | BaseException:
        """Return the text or the error of a look: any error, because a caller waits for it."""
        try:
            return self._look(*key)
        except BaseException as error:
            return error

    def _end(self, key: Key, file: _File, look: _Look, found: Text | BaseException) -> _Look | None:
        """Record the result of a look; return the look to begin now."""
        with self._lock:
            if look.over.is_set():  # closed
                return None
            if isinstance(found, Text):
                look.text, look.size = found, found.size
                file.last = look
            else:
                look.error = found
                self._failed += 1
                if not isinstance(found, TimeoutError):  # a gone or forbidden process is not served
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
        """Drop what no caller asks for, and what exceeds the limit. The lock is held."""
        self._swept = now
        size = self._size()
        for key, file in list(self._files.items()):
            if file.asked >= now - _KEPT and size <= _MOST_BYTES:
                break  # all later ones are younger
            if file.going is None:
                size -= file.last.size if file.last else 0
                del self._files[key]

    def _size(self) -> int:
        return sum(file.last.size for file in self._files.values() if file.last)
