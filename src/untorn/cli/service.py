"""What commands that serve share: they report when they are ready, and end on a signal."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_TO_THE_END = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _EndedError(BaseException):
    """A signal ends the command. It is no Exception: no server takes it for a failed request."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Make the first of the signals that end a service end what runs inside; ignore later ones."""

    def end(number: int, frame: FrameType | None) -> None:
        for each in _TO_THE_END:
            signal.signal(each, signal.SIG_IGN)
        raise _EndedError

    before = {each: signal.signal(each, end) for each in _TO_THE_END}
    before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # it only asks
    try:
        yield
    except _EndedError:
        pass
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def tell_ready() -> None:
    """Tell the service manager that started this process that it is ready, if it waits for that.

    Source: sd_notify(3).
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address[0] == "@":  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(b"READY=1", address)
