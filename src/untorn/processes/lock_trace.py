"""Count whose mmap_lock a thread takes, by the kernel's tracepoint: exact on any busy machine.

It uses a trace instance of its own for one thread, and removes it afterwards.
Source: include/trace/events/mmap_lock.h, Documentation/trace/ftrace.rst.
"""

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ
from pathlib import Path
from threading import get_native_id

from untorn.errors import OutOfReachError, describe, os_error
from untorn.maps.page import PAGE_SIZE
from untorn.processes.process_under_test import ThisProcess

_TRACEFS = Path("/sys/kernel/tracing")
_EVENT = "events/mmap_lock/mmap_lock_acquire_returned"
_BUFFER_KIB = 4096
"""Per CPU; an event takes less than 100 bytes."""
_TAKEN = re.compile(r"mmap_lock_acquire_returned: mm=(\S+) .*write=(true|false) success=true")
_WRITTEN = re.compile(r"entries-in-buffer/entries-written: (\d+)/(\d+)")
_CLONE_NEWNS, _MS_REC_PRIVATE = 0x20000, 0x44000


class LockTrace:
    """The result of counted(), complete when its context is left."""

    def __init__(self) -> None:
        self.of_others = 0
        """How often the mmap_lock of another process was taken, for read or for write."""


@contextmanager
def counted() -> Iterator[LockTrace]:
    """Count the locks that this thread takes inside.

    May move this process into its own mount namespace; it should do nothing else.

    Raises:
        OutOfReachError: This kernel has no such tracepoint, this user may not trace, or events were
            lost.
    """
    trace = LockTrace()
    with _instance() as instance:
        event = instance / _EVENT / "enable"
        event.write_text("1")
        try:
            _take_own_lock()
            yield trace
        finally:
            event.write_text("0")
        trace.of_others = _count((instance / "trace").read_text())


@contextmanager
def _instance() -> Iterator[Path]:
    """Yield a trace instance for this thread alone; other traces are left alone."""
    instance = _TRACEFS / "instances" / f"untorn-{os.getpid()}"
    try:
        if not (_TRACEFS / "instances").exists():
            _mount_for_this_process()
        instance.mkdir()
    except OSError as error:
        raise OutOfReachError(f"no right to trace here: {describe(error)}") from error
    try:
        if not (instance / _EVENT).exists():
            raise OutOfReachError("this kernel has no tracepoints in mmap_lock")
        (instance / "buffer_size_kb").write_text(str(_BUFFER_KIB))
        (instance / "set_event_pid").write_text(str(get_native_id()))
        yield instance
    finally:
        instance.rmdir()


def _mount_for_this_process() -> None:
    """Mount tracefs where only this process and its children see it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if (
        libc.unshare(_CLONE_NEWNS)
        or libc.mount(None, b"/", None, _MS_REC_PRIVATE, None)
        or libc.mount(b"tracefs", bytes(_TRACEFS), b"tracefs", 0, None)
    ):
        raise os_error(ctypes.get_errno())


def _take_own_lock() -> None:
    """Take this process's own mmap_lock for write: the first one in the trace that is so taken."""
    process = ThisProcess()
    process.munmap(process.mmap(0, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS), PAGE_SIZE)


def _count(text: str) -> int:
    """Return how often a lock was taken other than the one that was first taken for write."""
    written = _WRITTEN.search(text)
    if written is None or written[1] != written[2]:
        raise OutOfReachError("the trace lost events")
    taken = _TAKEN.findall(text)
    own = next((mm for mm, write in taken if write == "true"), "(none)")
    if own.startswith("("):
        raise OutOfReachError("the trace does not tell one lock from another")
    return sum(mm != own for mm, _ in taken)
