"""The parent's side of a run with processes of our own: start them, talk to them, end them all.

The children's side is child.py.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

from untorn.processes.endings import SIGNALS, endings_held
from untorn.processes.messages import Messages
from untorn.processes.placement import place

START_TIMEOUT = 120.0
"""Seconds until a child must be ready: an emulated CPU takes 15 to import numpy."""
STOP_TIMEOUT = 10.0
"""Seconds until a child must answer a stop, and until a killed one must have ended."""
_MAIN = "from untorn.processes.child import main; main()"
ChildWork = Callable[..., None]
"""What a child does: a function of a module; JSON can carry its arguments."""


class Child:
    """A process of a run, started on a CPU with a nice value.

    Args:
        work: The function that it runs; its keyword arguments follow.
        patience: Seconds that the child has at the end to clean up what it started itself.

    Raises:
        OutOfReachError: This user may not place it so.
    """

    def __init__(
        self, work: ChildWork, cpu: int, nice: int, *, patience: float = 0, **arguments: Any
    ) -> None:
        self._patience = patience
        name = f"{work.__module__}:{work.__qualname__}"
        # A process group of its own: Ctrl-C on the terminal is for the parent, which ends the
        # children. Not a session of its own: the scheduler could treat that as a unit, whatever its
        # nice value.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _MAIN, name, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,
        )
        assert self._process.stdout is not None
        self._messages = Messages(self._process.stdout.fileno(), f"child process {self.pid}")
        try:
            place(self.pid, cpu, nice)
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def start(self) -> None:
        """Tell it to begin; receive() must have returned its readiness."""
        self._write(b"go\n")

    def send(self, **message: Any) -> None:
        """Send it a message; raise OutOfReachError if it has ended."""
        self._write(json.dumps(message).encode() + b"\n")

    def stop(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def receive(self, timeout: float) -> dict[str, Any]:
        """Return its next message.

        Raises:
            TimeoutError: No message came within the timeout.
            OutOfReachError: The child reported an error, or ended without a message.
        """
        return self._messages.receive(timeout)

    def receive_bytes(self, size: int, timeout: float) -> bytes:
        """Return `size` bytes that follow a message; raises as receive()."""
        return self._messages.receive_bytes(size, timeout)

    def kill(self) -> None:
        """End it at once, or when its patience has run out, and forget it."""
        assert self._process.stdin is not None
        self._process.stdin.close()  # it may still wait for the start
        if self._patience:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self._patience)
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
        except BrokenPipeError as error:
            raise self._messages.ended() from error


class Children:
    """The children of one run; leaving the context ends all of them in any case."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def add(
        self, work: ChildWork, cpu: int, nice: int, *, patience: float = 0, **arguments: Any
    ) -> Child:
        """Start a child: see Child.

        Ctrl-C or SIGTERM that comes meanwhile waits, so that no child is started without being in
        the list. The child starts with both blocked: Ctrl-C is never for it, and a request to stop
        that comes before its handler is there is kept.
        """
        with endings_held(), _signals_blocked():
            child = Child(work, cpu, nice, patience=patience, **arguments)
            self._children.append(child)
        return child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        # The last one started ends first: readers end before the process that they read.
        with endings_held():
            for child in reversed(self._children):
                child.kill()


@contextmanager
def _signals_blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def await_ready(children: Iterable[Child]) -> None:
    """Return when all have reported that they are set up; raises as Child.receive()."""
    for child in children:
        child.receive(START_TIMEOUT)
