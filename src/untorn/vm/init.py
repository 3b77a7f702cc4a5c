"""PID 1 of a guest: obeys the host's requests, lines of JSON on the second serial port.

The first serial port has the kernel's messages and stderr. The host's side is guest.py. A request
names a function, as `untorn.vm.jobs:bench`, and its arguments. The function also gets one that
sends a message to the host at once. What it returns is the answer.
"""

import ctypes
import json
import os
import traceback
import tty
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from pkgutil import resolve_name
from typing import Any, BinaryIO

from untorn.errors import OutOfReachError, describe, os_error

PORT = Path("/dev/ttyS1")
REQUESTS = Path("/requests")
"""A file with all requests of the host; if it exists, the port carries only answers."""
SOURCES = Path("/untorn")
"""The directory from which the package is imported."""
LIBFUSE = PurePosixPath(SOURCES, "libfuse3.so.3")
"""The library that serves a mount, if the guest has it."""
_MOUNTS = (
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("tracefs", "/sys/kernel/tracing"),
    ("debugfs", "/sys/kernel/debug"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/tmp"),
)
_RB_POWER_OFF = 0x4321_FEDC
"""Source: reboot(2)."""

Send = Callable[[dict[str, Any]], None]
Relay = Callable[[Any], None]
"""Sends something to the host at once, or takes it there."""


def main() -> None:
    """Set up the guest, answer all requests, and turn it off."""
    _mount_all()
    os.environ.update(
        PYTHONPATH=str(SOURCES),
        PYTHONDONTWRITEBYTECODE="1",
        HOME="/tmp",
        FUSE_LIBRARY_PATH=str(LIBFUSE),
    )
    with PORT.open("r+b", buffering=0) as port:
        tty.setraw(port.fileno())

        def send(message: dict[str, Any]) -> None:
            _write_all(port, json.dumps(message).encode() + b"\n")

        send({"hello": os.uname().release})
        with _requests(port) as requests:
            for line in requests:
                answer(line, send)
    ctypes.CDLL(None).reboot(_RB_POWER_OFF)


def answer(request: bytes, send: Send) -> None:
    """Do what was requested, and send the result or any error."""
    try:
        asked = json.loads(request)
        function = resolve_name(asked["call"])
        result = function(lambda value: send({"progress": value}), **asked["arguments"])
        send({"result": result})
    except (OSError, OutOfReachError) as error:
        send({"error": describe(error)})
    except Exception as error:
        traceback.print_exc()
        send({"failure": f"{type(error).__name__}: {error}"})


def _requests(port: BinaryIO) -> BinaryIO:
    if REQUESTS.exists():
        return REQUESTS.open("rb")
    return os.fdopen(os.dup(port.fileno()), "rb")


def _write_all(port: BinaryIO, data: bytes) -> None:
    while data:
        data = data[port.write(data) :]


def _mount_all() -> None:
    """Mount all file systems that this kernel has; most requests do not need debugfs."""
    libc = ctypes.CDLL(None, use_errno=True)
    for kind, place in _MOUNTS:
        Path(place).mkdir(parents=True, exist_ok=True)
        failed = libc.mount(kind.encode(), place.encode(), kind.encode(), 0, None)
        if failed and kind not in ("tracefs", "debugfs"):
            raise os_error(ctypes.get_errno())
