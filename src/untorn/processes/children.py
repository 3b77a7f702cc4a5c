"""The parent's side of a run with processes of our own: starts, talks with and ends every one.

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
"""Seconds in which a child must be ready: an emulated CPU takes 15 to import numpy."""
STOP_TIMEOUT = 10.0
"""Seconds in which a child must answer to being stopped, and in which a killed one must end."""
_MAIN = "from untorn.processes.child import main; main()"
ChildWork = Callable[..., None]
"""What a child does: a function of a module, whose arguments JSON can carry."""


class Child:
    """A process of a run, started on a CPU with a nice value.

    Args:
        work: What it does; the arguments follow by name.
        patience: Seconds that it has at the end to put away what it started itself.

    Raises:
        OutOfReachError: It may not be placed so.
    """

    def __init__(
        self, work: ChildWork, cpu: int, nice: int, *, patience: float = 0, **arguments: Any
    ) -> None:
        self._patience = patience
        name = f"{work.__module__}:{work.__qualname__}"
        # A group of its own: the terminal's Ctrl-C is for the parent, who ends the children.
        # Not a session of its own: that could be scheduled as one unit, whatever its nice value.
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
        """Give the word to begin; receive() must have returned its readiness."""
        self._write(b"go\n")

    def send(self, **message: Any) -> None:
        """Send it a message; raises OutOfReachError if it has ended."""
        self._write(json.dumps(message).encode() + b"\n")

    def stop(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def receive(self, timeout: float) -> dict[str, Any]:
        """Return its next message.

        Raises:
            TimeoutError: None came within the timeout.
            OutOfReachError: It reported an error, or ended without a message.
        """
        return self._messages.receive(timeout)

    def receive_bytes(self, size: int, timeout: float) -> bytes:
        """Return `size` bytes that follow a message; raises as receive()."""
        return self._messages.receive_bytes(size, timeout)

    def kill(self) -> None:
        """End it, at once or when its patience has run out, and forget it."""
        assert self._process.stdin is not None
        self._process.stdin.close()  # it may still wait for the word
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
    """The children of one run; leaving the context ends all of them, however it is left."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def add(
        self, work: ChildWork, cpu: int, nice: int, *, patience: float = 0, **arguments: Any
    ) -> Child:
        """Start a child: see Child.

        Ctrl-C or SIGTERM that comes meanwhile waits, so that it cannot get between a child and
        its place in the list. The child starts with both blocked: Ctrl-C is never for it, and a
        request to stop that comes before it can take one is kept.
        """
        with endings_held(), _signals_blocked():
            child = Child(work, cpu, nice, patience=patience, **arguments)
            self._children.append(child)
        return child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        # Last started, first ended: readers go before the process that they read.
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
    """Return when all have said that they are set up; raises as Child.receive()."""
    for child in children:
        child.receive(START_TIMEOUT)
