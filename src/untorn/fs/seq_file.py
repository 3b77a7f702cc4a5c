"""seq_file: put records into the buffers of read() calls.

A fill collects whole records, up to a page, between start() and stop(). The caller gets bytes only
after stop(), so no lock of the records' owner is held while data is copied out. Bytes that do not
fit into the caller's buffer stay for the next read, which returns them and then does a new fill.
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
    """The source of the records. Each start() is followed by one stop(), even after a failure."""

    def start(self, m: "SeqFile[R]") -> R | None:
        """Return the record at m.index, or None at the end. May move m.index or raise OSError."""

    def next(self, m: "SeqFile[R]") -> R | None:
        """Advance m.index, and return the record there or None at the end. May raise OSError."""

    def stop(self, m: "SeqFile[R]") -> None:
        """Release everything that start() and next() hold."""

    def show(self, record: R) -> bytes:
        """Return the record's text."""


class SeqFile(Generic[R]):
    """One open file. Its lock serialises the reads of several tasks.

    Attributes:
        index: The position in the records; the source of the records defines its meaning.

    _mutex protects all fields. lockdep knows it as SeqFile.lock.
    """

    __slots__ = ("_file_pos", "_mutex", "_ops", "_pending", "_read_pos", "_size", "index")

    def __init__(self, ops: SeqOperations[R]) -> None:
        self._ops = ops
        self._mutex = sync.Mutex()
        self.index = 0
        self._file_pos = 0  # bytes; where the next read() starts
        self._read_pos = 0  # bytes; the offset that index and _pending belong to
        self._pending = b""  # text that was made but not yet returned
        self._size = PAGE_SIZE  # of the buffer; a record that does not fit doubles it for good

    def read(self, size: int) -> bytes:
        """Return up to size bytes from the file position on, and advance it.

        Raises:
            OSError: EINVAL if size is negative; the error of start() if there was nothing to
                return.
        """
        with _Watched(self._mutex), self._mutex:
            data = self._read_at(self._file_pos, size)
            self._file_pos += len(data)
            return data

    def pread(self, size: int, offset: int) -> bytes:
        """Return up to size bytes from offset on. Keep the file position. Raise as read().

        If offset is not where the last read ended, all records before it are shown again, as they
        are now. That takes O(offset).
        """
        if offset < 0:
            raise os_error(errno.EINVAL)
        with _Watched(self._mutex), self._mutex:
            return self._read_at(offset, size)

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move the file position and return it. It may be beyond the end.

        Raises:
            OSError: EINVAL if the result is negative or whence is not SEEK_SET or SEEK_CUR; the
                error of start() or next() on the way (the position is 0 then).
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
            except BaseException:  # from a signal handler, or NotModelledError: the fill is lost
                self._rewind()  # so that the next read walks to where this one began
                raise
            # Take data only now, after stop(): the caller may keep it for as long as it likes.
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
        """Collect records until there are wanted bytes or the next one would not fit.

        A failure after the first record only ends the fill.
        """
        ops = self._ops
        show, following = ops.show, ops.next
        texts: list[bytes] = []
        count = 0
        try:
            # Records between one start() and one stop() may be of one state; with the mmap_lock
            # locking they are. Between two fills only the owner's index is kept.
            text = self._first_record()
            while text is not None and count + len(text) < self._size:
                texts.append(text)
                count += len(text)
                # Fetch the next record before it is known whether it fits, which moves index past
                # the last one. If it does not fit, the next start() goes back to it.
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
        """Start and show the first record. Grow the buffer until the record fits."""
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
        """Go to byte offset: show records from the start on, and keep the tail of the last one."""
        self._rewind()
        if offset == 0:
            return
        try:
            self._walk_to(offset)
        except BaseException:  # EINTR, from a signal handler, or NotModelledError
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
    """Tell lockdep about a seq_file's mutex: before it is taken, and after it is released."""

    __slots__ = ("_mutex",)

    def __init__(self, mutex: "sync.Mutex") -> None:
        self._mutex = mutex

    def __enter__(self) -> None:
        if lockdep.on:
            lockdep.acquire(SEQ_LOCK, self._mutex)

    def __exit__(self, *exc: object) -> None:
        if lockdep.on:
            lockdep.release(SEQ_LOCK, self._mutex)
