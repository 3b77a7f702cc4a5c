"""The reader `psutil`: what many monitors do. psutil reads smaps to tell of a process's maps."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from untorn.errors import OutOfReachError

if TYPE_CHECKING:
    from psutil import Process


def open_psutil(pid: int) -> "AbstractContextManager[Process]":
    """Return psutil's process.

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


def ask_psutil(process: "Process") -> Iterator[int]:
    """Ask for all maps once; how many bytes that reads, psutil does not tell.

    Raises:
        OutOfReachError: psutil may not, or cannot.
    """
    from psutil import Error

    try:
        process.memory_maps()
    except Error as error:
        raise OutOfReachError(f"psutil: {error}") from error
    yield 0
