"""The scanners of target `live`, each a process that reads another one, and its busy tasks."""

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from untorn.bench.scan import Pass, read_text, scan_until_stopped, spin_and_pause, walk_by_ioctl
from untorn.errors import OutOfReachError
from untorn.processes.child import Stop, send, wait_for_start
from untorn.reader.access.gentle import GentleMapsFile
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.access.priority import NotRaisedWarning


def open_psutil(pid: int) -> AbstractContextManager[Any]:
    """Return psutil's process, for the reader `psutil`: it does what many monitors do.

    Raises:
        OutOfReachError: psutil is not installed.
    """
    try:
        from psutil import Process
    except ImportError as error:
        raise OutOfReachError(
            "the reader psutil needs psutil: pip install 'untorn[psutil]'"
        ) from error
    return nullcontext(Process(pid))


def ask_psutil(process: Any) -> Iterator[int]:
    """Ask psutil for all maps once; it reads smaps and does not report how many bytes.

    Raises:
        OutOfReachError: psutil has no right to, or cannot.
    """
    from psutil import Error

    try:
        process.memory_maps()
    except Error as error:
        raise OutOfReachError(f"psutil: {error}") from error
    yield 0


def open_clear_refs(pid: int) -> AbstractContextManager[Any]:
    """Open the file that clears the accessed bits of a process, which must be our own."""
    return Path(f"/proc/{pid}/clear_refs").open("wb", buffering=0)


def clear_refs(file: Any) -> Iterator[int]:
    """Clear all accessed bits once; nothing is read."""
    os.write(file.fileno(), b"1")
    yield 0


class _StoppedError(Exception):
    """The end was requested in the middle of a pass."""


def count_memory(pid: int) -> Iterator[int]:
    """Count the memory of a process once, or until the end is requested.

    The number of bytes read is not known.
    """
    from untorn.reader.live_maps import LiveMaps

    request = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        if callable(request):
            request(number, frame)
        raise _StoppedError

    # A signal may arrive between any two lines: it is inside suppress() as long as it can raise.
    with suppress(_StoppedError):
        try:
            signal.signal(signal.SIGTERM, stop)
            with LiveMaps(pid, timeout=None) as maps:  # by this thread, whose locks are counted
                maps.memory()
        finally:
            signal.signal(signal.SIGTERM, request)
    yield 0


Opener = Callable[[int], AbstractContextManager[Any]]
READERS: dict[str, tuple[Opener, Pass[Any]]] = {
    "maps": (LiveMapsFile, read_text),
    "smaps": (partial(LiveMapsFile, file="smaps"), read_text),
    "smaps_rollup": (partial(LiveMapsFile, file="smaps_rollup"), read_text),
    "query": (LiveMapsFile, walk_by_ioctl),
    "gentle": (GentleMapsFile, read_text),
    "gentle smaps": (partial(GentleMapsFile, file="smaps"), read_text),
    "memory": (nullcontext, count_memory),
    "psutil": (open_psutil, ask_psutil),
    "clear_refs": (open_clear_refs, clear_refs),
}
"""By reader and variant: what it opens of a process, and how it makes a pass."""


def read_maps(pid: int, reader: str) -> None:
    """Scan a process's map from the parent's word until asked to end; send the counts."""
    warnings.simplefilter("ignore", NotRaisedWarning)  # it is counted
    opener, one_pass = READERS[reader]
    stop = Stop()
    with opener(pid) as file:
        _try_out(file, one_pass, reader)
        wait_for_start()
        scans, total = scan_until_stopped(file, one_pass, stop)
        not_raised = isinstance(file, GentleMapsFile) and not file.raised
    send(scans=scans, bytes_read=total, **({"not_raised": 1} if not_raised else {}))


def _try_out(file: Any, one_pass: Pass[Any], reader: str) -> None:
    try:
        next(one_pass(file), 0)
    except OSError as error:
        raise OutOfReachError(f"reader {reader} does not work here: {error.strerror}") from error


def be_busy(busyduration_ns: int) -> None:
    """Wait for the parent's word, then be busy until told to stop."""
    stop = Stop()
    wait_for_start()
    spin_and_pause(busyduration_ns, stop)
