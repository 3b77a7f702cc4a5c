"""Yield futures in the order in which they are done; a signal can end the wait for one."""

from __future__ import annotations

import socket
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, Self, TypeVar

from untorn.processes.endings import wait_readable

T = TypeVar("T")
_LONG = 3600.0
"""Seconds."""


class Arrivals(Generic[T]):
    """Futures that somebody waits for. Close it with `with`."""

    def __init__(self) -> None:
        self._done: SimpleQueue[Future[T]] = SimpleQueue()
        self._reading, self._writing = socket.socketpair()

    def expect(self, future: Future[T]) -> Future[T]:
        """Wait for a future, too; return it."""
        future.add_done_callback(self._arrived)
        return future

    def _arrived(self, future: Future[T]) -> None:
        """Report a future that is done; called by a thread of the executor."""
        self._done.put(future)
        with suppress(OSError):  # nobody waits any longer
            self._writing.send(b".")

    def next(self) -> Future[T]:
        """Wait for one that is done. Raises KeyboardInterrupt if an ending is asked for."""
        while not wait_readable(self._reading.fileno(), _LONG):
            pass
        self._reading.recv(1)
        return self._done.get()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for end in self._reading, self._writing:
            end.close()
