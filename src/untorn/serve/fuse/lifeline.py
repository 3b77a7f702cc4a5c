"""The server's side of its watchdog: starts it, answers it, and replaces it if it dies."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

from untorn.serve.fuse import watchdog
from untorn.serve.fuse.mounting import detach_all

_NOT_FOR_IT = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}
"""Signals that end a whole service or terminal: a watchdog stays until its server has ended."""
_START = 30.0
"""Seconds until a watchdog must have started."""
_PAUSE = 0.2
"""Seconds from the death of a watchdog to the start of the next."""
_END = 10.0
"""Seconds until a watchdog must have ended."""


class Lifeline:
    """Unmounts our mount when this process ends, dies or is stuck, by means of a watchdog.

    Args:
        source: Source of the mount, which is made after this.
        stuck: Seconds that a request may wait without a sign of life from this process.
        proc: Where procfs is mounted; a relative path if our mount may cover it.

    Raises:
        OSError: No watchdog can be started.
    """

    def __init__(self, source: str, *, stuck: float, proc: str = "/proc") -> None:
        self._source, self._stuck, self._path = source, stuck, proc
        self._last_answer = 0  # any thread writes it: any recent time will do
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._fuse: int | None = None  # protected by _lock
        self._proc = os.open(proc, os.O_PATH | os.O_CLOEXEC)
        try:
            # The keeper replaces them with _lock held; only the keeper reads them without it.
            self._link, self._process = self._start()
        except OSError:
            os.close(self._proc)
            raise
        self._keeper = threading.Thread(target=self._keep, name="untorn-lifeline", daemon=True)
        self._keeper.start()

    def watch(self, fuse: int) -> None:
        """Let a mount be watched, through a copy of its descriptor."""
        with self._lock:
            self._fuse = os.dup(fuse)
            with suppress(OSError):  # if the watchdog is dead, the next one gets it
                self._tell([self._fuse])

    def answered(self) -> None:
        """Record that a request was answered just now."""
        self._last_answer = time.monotonic_ns()

    def close(self) -> None:
        """Unmount, and release the watchdog.

        Open files are served as long as this process serves.

        Raises:
            OSError: EPERM if it is still mounted.
        """
        try:
            if left := detach_all(self._source, self._path):
                raise OSError(errno.EPERM, "cannot be unmounted", left[0])
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._closing.set()
        with self._lock, suppress(OSError):  # it may be dead
            self._link.shutdown(socket.SHUT_RDWR)
        self._keeper.join()
        self._bury()
        os.close(self._proc)
        if self._fuse is not None:
            os.close(self._fuse)

    def _keep(self) -> None:
        """Reply to the watchdog, and replace it when it is dead. The keeper runs it."""
        while self._is_asked() or self._replace():
            with self._lock, suppress(OSError):  # if it is dead, the next round sees it
                self._tell([])

    def _is_asked(self) -> bool:
        """Wait for the watchdog to ask; return False once it is dead or released."""
        try:
            return bool(self._link.recv(1))
        except OSError:
            return False

    def _replace(self) -> bool:
        """Reap the watchdog and start another; return False if there must be no more."""
        while not self._closing.wait(_PAUSE):
            with self._lock, suppress(OSError):
                if self._closing.is_set():  # _let_go() was first, and found a dead one
                    break
                self._bury()
                self._link, self._process = self._start()
                if self._fuse is not None:
                    self._tell([self._fuse])
                return True
        return False

    def _tell(self, mount: list[int]) -> None:
        """Send the time of the last answer, and the mount's descriptor. Precondition: _lock."""
        socket.send_fds(self._link, [watchdog.REPLY.pack(self._last_answer)], mount)

    def _bury(self) -> None:
        self._link.close()
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        """Start a watchdog, and wait until it watches."""
        link, its = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with its:
            process = self._spawn(its.fileno())
        link.settimeout(_START)
        try:
            if not link.recv(1):
                raise OSError(errno.ECHILD, "the watchdog of the mount does not start")
        except OSError:
            process.kill()
            process.wait()
            link.close()
            raise
        link.settimeout(None)
        return link, process

    def _spawn(self, link: int) -> subprocess.Popen[bytes]:
        """Start its program in a new session."""
        me = os.pidfd_open(os.getpid())
        passed = link, me, self._proc
        arguments = [*map(str, passed), self._source, str(self._stuck)]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_IT)  # it is inherited
        try:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", watchdog.__name__, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=passed,
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(me)
