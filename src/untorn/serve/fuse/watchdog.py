"""A process that unmounts for a server that is dead, and ends one that is stuck.

A client of a FUSE file system sleeps until it has its answer: not even SIGKILL wakes it up unless
the server sees to that. So a server that is stopped or hangs would take its clients with it.

The other side is lifeline.py. The watchdog asks the server for a sign of life only while a request
waits. It asks by one byte; the reply is the time of the last answer to a request, and, the first
time, a descriptor of the mount.
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
"""Without a sign of life. They are counted, so that time in which nobody ran does not count."""
_PROC = "."


class End(Enum):
    """Why there is nothing to watch any more."""

    LET_GO = auto()
    DEAD = auto()
    STUCK = auto()


class Watchdog:
    """What a watchdog knows of its server.

    Args:
        link: To the server; shut down by it when it lets go.
        server: Its pidfd.
        source: Of the mount.
    """

    def __init__(self, link: socket.socket, server: int, source: str) -> None:
        self._link, self._server, self._source = link, server, source
        self._link.setblocking(False)
        self._fuse: int | None = None
        self._requests = select.poll()
        self._connection: Connection | None = None
        self._last_answer = 0

    def watch(self, stuck: float) -> End:
        """Watch the server; call it stuck after so many seconds without a sign of life."""
        poll = select.poll()
        poll.register(self._link, 0)  # no event but the end of it
        poll.register(self._server, select.POLLIN)
        self._ask()
        silent = 0
        while silent < _ROUNDS:
            if ended := dict(poll.poll(stuck / _ROUNDS * 1000)):
                return End.DEAD if self._server in ended else End.LET_GO
            silent = silent + 1 if self._is_silent() else 0
        return End.STUCK

    def clean_up(self, end: End) -> list[str]:
        """Unmount, and end the server if it is stuck; return where it is mounted still."""
        if end is not End.LET_GO and self._connection:
            # Also of a dead one: a process that it forked may keep its descriptors.
            self._connection.abort()
        if end is End.STUCK:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._server, signal.SIGKILL)
        if self._fuse is not None:
            os.close(self._fuse)
        return detach_all(self._source, _PROC)

    def _is_silent(self) -> bool:
        """Say whether a request waits, and there was no sign of life since the last round."""
        before = self._last_answer
        replied = self._receive()
        if self._fuse is None:
            self._find_connection()  # the server may be stopped before it passes its mount
        untaken = self._is_untaken()
        if not untaken and not (self._connection and self._connection.waiting()):
            return False
        self._ask()
        return not replied or (untaken and self._last_answer == before)

    def _is_untaken(self) -> bool:
        """Say whether a request waits that nobody has received."""
        return any(events & select.POLLIN for _, events in self._requests.poll(0))

    def _ask(self) -> None:
        with suppress(BlockingIOError, ConnectionError):  # the next round sees that it has ended
            self._link.send(ASK)

    def _receive(self) -> bool:
        """Take the replies that have come; say whether there were any."""
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
            with suppress(OSError):  # then only requests that nobody has received are seen
                self._connection = Connection(minor)


def main(arguments: list[str]) -> None:
    """Watch a server to its end.

    Args:
        arguments: Descriptors of the socket to it, of its pidfd and of the procfs (our mount may
            come to lie over /proc); source of the mount; after how many seconds it is stuck.
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
