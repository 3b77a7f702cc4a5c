"""A descriptor that one thread may close while others use it.

The kernel gives the number of a closed descriptor to the next file that is opened: code that still
used that number would read another file.
"""

import errno
import os
import threading

from untorn.errors import os_error


class Descriptor:
    """A descriptor; `with` yields its number, which means the same file until the block ends.

    It is closed by the first of these: close(), once no block uses it any more; or the loss of its
    last reference.

    Args:
        number: An open descriptor. This object takes it over.
    """

    __slots__ = ("_closed", "_lock", "_number", "_uses")

    def __init__(self, number: int) -> None:
        self._number = number
        self._lock = threading.Lock()
        self._uses = 0  # blocks that use the number; protected by _lock, as is the next one
        self._closed = False

    # Proof that no block uses a closed number. os.close() is called by the thread that finds, under
    # the lock, _closed set and _uses 0. _closed is never cleared, and no block begins once it is
    # set, so from then on _uses only falls: it is found to be 0 once, either by close() or by the
    # end of the last block. That block has used the number for the last time, and no other one
    # will.

    def __enter__(self) -> int:
        """Return the number. Raises OSError ESRCH if it is closed: it belonged to a process."""
        with self._lock:
            if self._closed:
                raise os_error(errno.ESRCH)
            self._uses += 1
        return self._number

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._uses -= 1
            last = self._closed and not self._uses
        if last:
            os.close(self._number)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        with self._lock:
            return self._closed

    def close(self) -> None:
        """Let no further block begin, and close it once none uses it. May be called twice."""
        with self._lock:
            last = not self._closed and not self._uses
            self._closed = True
        if last:
            os.close(self._number)

    def __del__(self) -> None:
        self.close()
