"""A process that unmounts for a dead server, and kills a server that is stuck.

A client of a FUSE file system sleeps until it has its answer: not even SIGKILL wakes it unless the
server helps. So a server that is stopped or hangs would block its clients for ever.

The other side is lifeline.py. The watchdog asks the server for a sign of life only while a request
waits. It sends one byte; the reply is the time of the last answer to a request and, the first time,
a descriptor of the mount.
"""

import os
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from enum import Enum, auto

from untorn.serve.fuse.connection import Connection
from untorn.serve.fuse.mounting import detach_all, minor_of

ASK = b"?"
REPLY = struct.Struct("Q")
_ROUNDS = 5
"""Rounds without a sign of life. We count rounds so that time in which nothing ran is left out."""
_PROC = "."


class End(Enum):
    """Why there is nothing left to watch."""

    LET_GO = auto()
    DEAD = auto()
    STUCK = auto()


class Watchdog:
    """What a watchdog knows of its server.

    Args:
        link: Socket to the server, which shuts it down to release the watchdog.
        server: Its pidfd.
        source: Source of the mount.
    """

    def __init__(self, link: socket.socket, server: int, source: str) -> None:
        self._link, self._server, self._source = link, server, source
        self._link.setblocking(False)
        self._fuse: int | None = None
        self._requests = select.poll()
        self._connection: Connection | None = None
        self._last_answer = 0

    def watch(self, stuck: float) -> End:
        """Watch the server; it is stuck after `stuck` seconds without a sign of life."""
        poll = select.poll()
        poll.register(self._link, 0)  # no event except its end
        poll.register(self._server, select.POLLIN)
        self._ask()
        silent = 0
        while silent < _ROUNDS:
            if ended := dict(poll.poll(stuck / _ROUNDS * 1000)):
                return End.DEAD if self._server in ended else End.LET_GO
            silent = silent + 1 if self._is_silent() else 0
        return End.STUCK

    def clean_up(self, end: End) -> list[str]:
        """Unmount, and kill the server if it is stuck; return where it is still mounted."""
        if end is not End.LET_GO and self._connection:
            # Also for a dead one: a process that it forked may keep its descriptors.
            self._connection.abort()
        if end is End.STUCK:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._server, signal.SIGKILL)
        if self._fuse is not None:
            os.close(self._fuse)
        return detach_all(self._source, _PROC)

    def _is_silent(self) -> bool:
        """Return whether a request waits without a sign of life since the last round."""
        before = self._last_answer
        replied = self._receive()
        if self._fuse is None:
            self._find_connection()  # the server may be stopped before it sends its mount
        untaken = self._is_untaken()
        if not untaken and not (self._connection and self._connection.waiting()):
            return False
        self._ask()
        return not replied or (untaken and self._last_answer == before)

    def _is_untaken(self) -> bool:
        """Return whether a request waits that the server has not received."""
        return any(events & select.POLLIN for _, events in self._requests.poll(0))

    def _ask(self) -> None:
        with suppress(BlockingIOError, ConnectionError):  # the next round sees that it has ended
            self._link.send(ASK)

    def _receive(self) -> bool:
        """Receive the replies that have come; return whether there were any."""
        replied = False
        with suppress(BlockingIOError, ConnectionError):
            while True:
                reply, fds, _, _ = socket.recv_fds(self._link, REPLY.size, 1)
                if not reply:
                    break
                replied = True
                (self._last_answer,) = REPLY.unpack(reply)
                if fds:
                    self._take_mount(fds[0])
        return replied

    def _take_mount(self, fuse: int) -> None:
        self._fuse = fuse
        self._requests.register(fuse, select.POLLIN)
        self._find_connection()

    def _find_connection(self) -> None:
        minor = minor_of(self._source, _PROC)
        if minor is not None:
            with suppress(OSError):  # then only requests that were not received are seen
                self._connection = Connection(minor)


def main(arguments: list[str]) -> None:
    """Watch a server until its end.

    Args:
        arguments: Descriptors of the socket to it, of its pidfd and of the procfs (our mount may
            cover /proc later); source of the mount; after how many seconds it is stuck.
    """
    link, server, proc = map(int, arguments[:3])
    source, stuck = arguments[3], float(arguments[4])
    os.fchdir(proc)
    watchdog = Watchdog(socket.socket(fileno=link), server, source)
    end = watchdog.watch(stuck)
    left = watchdog.clean_up(end)
    if end is End.STUCK:
        print(f"untorn: no sign of life for {stuck:g} s: killed", file=sys.stderr)
    for point in left:
        print(f"untorn: {point}: cannot be unmounted", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
