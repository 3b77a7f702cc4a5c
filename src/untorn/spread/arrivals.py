"""Yield futures in the order in which they are done; a signal can end the wait for one."""

from __future__ import annotations

import socket
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, Self, TypeVar

from untorn.processes.endings import raise_ending, wait_readable

T = TypeVar("T")
_LONG = 3600.0
"""Seconds."""
_MANY = 4096
"""Bytes; each only says that the queue is worth a look."""


class Arrivals(Generic[T]):
    """Futures that somebody waits for. Close it with `with`."""

    def __init__(self) -> None:
        self._done: SimpleQueue[Future[T]] = SimpleQueue()
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)

    def expect(self, future: Future[T]) -> Future[T]:
        """Wait for a future, too; return it."""
        future.add_done_callback(self._arrived)
        return future

    def _arrived(self, future: Future[T]) -> None:
        """Report a future that is done; called by a thread of the executor."""
        # Put first: next() looks at the queue once more after it has emptied the socket.
        self._done.put(future)
        # The socket may be full, as when thousands are cancelled at once: then it is readable
        # anyway. It may be closed: then nobody waits any longer.
        with suppress(OSError):
            self._writing.send(b".")

    def next(self) -> Future[T]:
        """Wait for one that is done. Raises KeyboardInterrupt if an ending is asked for."""
        raise_ending()
        while True:
            with suppress(Empty):
                return self._done.get_nowait()
            if wait_readable(self._reading.fileno(), _LONG):
                self._reading.recv(_MANY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for end in self._reading, self._writing:
            end.close()
