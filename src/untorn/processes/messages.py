"""Messages from another process: lines of JSON, and bytes that such a line announces."""

import json
import os
import time
from typing import Any

from untorn.errors import OutOfReachError
from untorn.processes.endings import wait_readable

_CHUNK = 1 << 16


class EndedError(OutOfReachError):
    """The sender ended too early."""


class Messages:
    """Receives messages from a pipe.

    Args:
        pipe: Descriptor to read from; the caller keeps it.
        sender: Name of the sender, for error messages.
    """

    def __init__(self, pipe: int, sender: str) -> None:
        self._pipe, self._sender = pipe, sender
        self._received = bytearray()

    def receive(self, timeout: float) -> dict[str, Any]:
        """Return the next message.

        Raises:
            TimeoutError: No message came within the timeout.
            OutOfReachError: The message is an error of the sender; EndedError if the sender is
                gone.
        """
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            self._receive_more(deadline)
        line, _, rest = self._received.partition(b"\n")
        self._received = rest
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise OutOfReachError(message["error"])
        return message

    def receive_bytes(self, size: int, timeout: float) -> bytes:
        """Return `size` bytes that follow a message; raises as receive()."""
        deadline = time.monotonic() + timeout
        while len(self._received) < size:
            self._receive_more(deadline)
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def ended(self) -> EndedError:
        """Return an error that says that the sender is gone."""
        return EndedError(f"{self._sender} ended too early")

    def _receive_more(self, deadline: float) -> None:
        if not wait_readable(self._pipe, max(0, deadline - time.monotonic())):
            raise TimeoutError(f"{self._sender} does not answer")
        chunk = os.read(self._pipe, _CHUNK)
        if not chunk:
            raise self.ended()
        self._received += chunk
