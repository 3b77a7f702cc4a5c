"""Open files of a guest."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from untorn.errors import NotModelledError
from untorn.fs.user_memory import UserMemory
from untorn.serve.caller.memory import CallerMemory
from untorn.serve.fuse.node import Caller, IoctlAnswer, OpenFile


class EngineFile(Protocol):
    """An open file of the engine. Threads that use it at once are serialised."""

    def ioctl(self, request: int, memory: UserMemory, arg: int) -> int | None:
        """Answer an ioctl; return its value, None for 0."""

    def close(self) -> None:
        """Close it."""


class OpenGuestFile(OpenFile):
    """A file that the engine has, too.

    Args:
        file: The engine's file.
        read: Reads it: at most this many bytes, from an offset on.
    """

    __slots__ = ("_file", "_read")

    def __init__(self, file: EngineFile, read: Callable[[int, int], bytes]) -> None:
        self._file, self._read = file, read

    def read(self, size: int, offset: int, caller: Caller) -> bytes:
        """Return what the engine returns. Raises OSError as it does; see _modelled()."""
        with _modelled():
            return self._read(size, offset)

    def ioctl(self, request: int, argument: int, data: bytes, caller: Caller) -> IoctlAnswer:
        """Let the engine answer an ioctl.

        An ioctl that fails may still write to the caller's memory, as PAGEMAP_SCAN does.

        Raises:
            OSError: See _modelled().
        """
        memory = CallerMemory(caller.tid, argument, data, caller.held)
        with _modelled():
            try:
                value = self._file.ioctl(request, memory, argument)
            except OSError as error:
                value = -(error.errno or errno.EIO)
        return IoctlAnswer(memory.carried, value or 0)

    def close(self) -> None:
        """Close it."""
        self._file.close()


class OpenText(OpenFile):
    """A short text, as it was when the file was opened."""

    __slots__ = ("_text",)

    def __init__(self, text: bytes) -> None:
        self._text = text

    def read(self, size: int, offset: int, caller: Caller) -> bytes:
        """Return a part of the text."""
        return self._text[offset : offset + size]


@contextmanager
def _modelled() -> Iterator[None]:
    """Raise OSError EOPNOTSUPP if the engine does not know what Linux would do."""
    try:
        yield
    except NotModelledError as error:
        raise OSError(errno.EOPNOTSUPP, str(error)) from error
