"""seq_file: records cut into read() buffers.

A fill collects whole records between start() and stop(), up to a page; only after stop() does the
caller get bytes, so no lock of the records' owner is held while data leaves. What does not fit
into the caller's read stays for the next one, which returns it followed by a fresh fill.
Compare fs/seq_file.c:seq_read_iter(), traverse(), seq_lseek().
"""

import errno
from typing import Generic, Protocol, TypeVar

from untorn.errors import os_error
from untorn.locking import lockdep, sync
from untorn.maps.page import PAGE_SIZE

R = TypeVar("R")
SEQ_LOCK = lockdep.LockClass("SeqFile.lock")
SEEK_SET, SEEK_CUR = 0, 1


class SeqOperations(Protocol[R]):
    """Where the records come from. Each start() is followed by one stop(), even if it failed."""

    def start(self, m: "SeqFile[R]") -> R | None:
        """Return the record at m.index, or None at the end; may move m.index; OSError to fail."""

    def next(self, m: "SeqFile[R]") -> R | None:
        """Move m.index on and return the record there, or None at the end; OSError to fail."""

    def stop(self, m: "SeqFile[R]") -> None:
        """Let go of everything that start() and next() hold."""

    def show(self, record: R) -> bytes:
        """Return the record's text."""


class SeqFile(Generic[R]):
    """One open file. Its lock makes reads by several tasks come one after the other.

    Attributes:
        index: Position of the records' owner; what it means is up to the owner.

    All fields are protected by _mutex, which lockdep knows as SeqFile.lock.
    """

    __slots__ = ("_file_pos", "_mutex", "_ops", "_pending", "_read_pos", "_size", "index")

    def __init__(self, ops: SeqOperations[R]) -> None:
        self._ops = ops
        self._mutex = sync.Mutex()
        self.index = 0
        self._file_pos = 0  # bytes; where the next read() starts
        self._read_pos = 0  # bytes; where index and _pending stand
        self._pending = b""  # shown but not yet returned
        self._size = PAGE_SIZE  # of the buffer; doubled for good by a record that needs it

    def read(self, size: int) -> bytes:
        """Return up to size bytes from the file position on, and move it.

        Raises:
            OSError: EINVAL if size is negative; whatever start() failed with, if there was
                nothing to return.
        """
        with _Watched(self._mutex), self._mutex:
            data = self._read_at(self._file_pos, size)
            self._file_pos += len(data)
            return data

    def pread(self, size: int, offset: int) -> bytes:
        """Return up to size bytes from offset on; the file position stays.

        An offset other than where the last read ended is reached by showing everything before it
        again: O(offset), against the records as they are now. Errors as read().
        """
        if offset < 0:
            raise os_error(errno.EINVAL)
        with _Watched(self._mutex), self._mutex:
            return self._read_at(offset, size)

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move the file position and return it; beyond the end is allowed.

        Raises:
            OSError: EINVAL if the result is negative or whence is not SEEK_SET or SEEK_CUR;
                what start() or next() failed with on the way; the position is 0 then.
        """
        with _Watched(self._mutex), self._mutex:
            if whence == SEEK_CUR:
                offset += self._file_pos
            elif whence != SEEK_SET:
                raise os_error(errno.EINVAL)
            if offset < 0:
                raise os_error(errno.EINVAL)
            if offset != self._read_pos:
                self._file_pos = 0
                self._traverse(offset)
            self._file_pos = offset
            return offset

    def _read_at(self, position: int, size: int) -> bytes:
        if size < 0:
            raise os_error(errno.EINVAL)
        if size == 0:
            return b""
        if position == 0:
            self._rewind()
        elif position != self._read_pos:
            self._traverse(position)
        data = self._take(size)
        if not self._pending:
            try:
                self._pending = self._fill(size - len(data))
            except OSError:
                if not data:
                    raise
            except BaseException:  # a signal handler's, or not modelled: what was collected is lost
                self._rewind()  # so the next read walks to where this one began
                raise
            # Only now, after stop(): the caller may sleep over the data as long as it likes.
            data += self._take(size - len(data))
        self._read_pos += len(data)
        return data

    def _rewind(self) -> None:
        self.index = self._read_pos = 0
        self._pending = b""

    def _take(self, size: int) -> bytes:
        data, self._pending = self._pending[:size], self._pending[size:]
        return data

    def _fill(self, wanted: int) -> bytes:
        """Collect records until wanted bytes are there or one more would fill the buffer.

        A failure after the first record only ends the fill.
        """
        ops = self._ops
        show, following = ops.show, ops.next
        texts: list[bytes] = []
        count = 0
        try:
            # One start() to one stop() is what a reader may see as one state: under mmap_lock
            # alone it is one. Between two fills the owner's index is all that is kept.
            text = self._first_record()
            while text is not None and count + len(text) < self._size:
                texts.append(text)
                count += len(text)
                # Fetched before it is known whether it is shown, so that index is moved past what
                # was: if it is not, the next start() goes back to it.
                record = following(self)
                if record is None or count >= wanted:
                    break
                text = show(record)
        except OSError:
            if not texts:
                raise
        finally:
            ops.stop(self)
        return b"".join(texts)

    def _first_record(self) -> bytes | None:
        """Start and show the first record, in a buffer grown until it fits."""
        while True:
            record = self._ops.start(self)
            if record is None:
                return None
            text = self._ops.show(record)
            if len(text) < self._size:
                return text
            self._ops.stop(self)
            self._size *= 2

    def _traverse(self, offset: int) -> None:
        """Stand at byte offset: show from the start on, keep the tail of the record there."""
        self._rewind()
        if offset == 0:
            return
        try:
            self._walk_to(offset)
        except BaseException:  # EINTR, from a signal handler, or not modelled
            self._rewind()
            raise
        self._read_pos = offset

    def _walk_to(self, offset: int) -> None:
        position = 0
        try:
            text = self._first_record()
            while text is not None and position < offset:
                while len(text) >= self._size:
                    self._size *= 2
                record = self._ops.next(self)
                if position + len(text) > offset:
                    self._pending = text[offset - position :]
                    break
                position += len(text)
                text = None if record is None or position == offset else self._ops.show(record)
        finally:
            self._ops.stop(self)


class _Watched:
    """Tell lockdep about a seq_file's mutex, which is taken after it and let go before."""

    __slots__ = ("_mutex",)

    def __init__(self, mutex: "sync.Mutex") -> None:
        self._mutex = mutex

    def __enter__(self) -> None:
        if lockdep.on:
            lockdep.acquire(SEQ_LOCK, self._mutex)

    def __exit__(self, *exc: object) -> None:
        if lockdep.on:
            lockdep.release(SEQ_LOCK, self._mutex)
