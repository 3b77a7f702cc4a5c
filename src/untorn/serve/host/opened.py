"""The texts that open files show; the bytes that are kept are limited.

A client may keep any number of files open, each with another text. A file whose text was dropped
continues with a new one: by address, as the kernel's files do from one read() to the next.
"""

import threading
from collections import Counter
from collections.abc import Callable

from untorn.fs.seq_file import SeqFile
from untorn.serve.text.text import Text

_MOST_BYTES = 64 << 20
_NOTHING = Text([])


class OpenTexts:
    """The texts of all open files. Any thread may use it.

    Lock order: the lock here is innermost.

    Args:
        most: Bytes of all texts together, each counted once; the one used last always stays.
    """

    def __init__(self, most: int = _MOST_BYTES) -> None:
        self._most = most
        self._lock = threading.Lock()  # protects everything below
        self._texts: dict[OpenText, Text] = {}  # the last used come last
        self._users: Counter[Text] = Counter()
        self._size = 0  # bytes of all texts in use

    def of(self, file: "OpenText") -> Text | None:
        """Return the text of an open file; None if it was dropped."""
        with self._lock:
            text = self._texts.pop(file, None)
            if text is not None:
                self._texts[file] = text
            return text

    def keep(self, file: "OpenText", text: Text) -> None:
        """Keep the text of an open file; drop those that were unused for the longest time."""
        with self._lock:
            self._drop(file)
            if file.closed:  # a look may end after its caller was killed
                return
            self._texts[file] = text
            self._users[text] += 1
            if self._users[text] == 1:
                self._size += text.size
            while self._size > self._most and len(self._users) > 1:
                self._drop(next(iter(self._texts)))

    def drop(self, file: "OpenText", *, closed: bool = False) -> None:
        """Drop the text of an open file; for good if the file is closed."""
        with self._lock:
            file.closed |= closed
            self._drop(file)

    def _drop(self, file: "OpenText") -> None:
        """Drop its text if it is kept. The lock is held."""
        text = self._texts.pop(file, None)
        if text is None:
            return
        self._users[text] -= 1
        if not self._users[text]:
            del self._users[text]
            self._size -= text.size


class OpenText:
    """The text of an open file, for a SeqFile. One thread at a time uses it, except for close().

    Args:
        texts: Keeps its text.
        look: Returns a text that is new enough.

    Attributes:
        closed: Whether it is closed. Protected by the lock of texts.
    """

    __slots__ = ("_look", "_place", "_text", "_texts", "closed")

    def __init__(self, texts: OpenTexts, look: Callable[[], Text]) -> None:
        self._texts, self._look, self.closed = texts, look, False
        self._text = _NOTHING  # between start() and stop()
        self._place: int | None = None  # byte address of the next record, if any

    @property
    def is_kept(self) -> bool:
        """Whether it can continue without a look."""
        return self._texts.of(self) is not None

    def renew(self) -> None:
        """Look again before anything else is shown."""
        self._texts.drop(self)

    def close(self) -> None:
        """Drop the text."""
        self._texts.drop(self, closed=True)

    def start(self, m: SeqFile[bytes]) -> bytes | None:
        """Return the record at m.index: see SeqOperations. Raises OSError as the look."""
        text = self._texts.of(self)
        if text is None:
            text = self._look()
            self._texts.keep(self, text)
            m.index = text.index_from(self._place) if m.index else 0
        self._text = text
        return text.start(m)

    def next(self, m: SeqFile[bytes]) -> bytes | None:
        """Return the record after it."""
        return self._text.next(m)

    def stop(self, m: SeqFile[bytes]) -> None:
        """Record the position, if start() did not fail."""
        if self._text is not _NOTHING:
            self._place = self._text.place_of(m.index)
            self._text.stop(m)
            self._text = _NOTHING

    def show(self, record: bytes) -> bytes:
        """Return a record's text."""
        return self._text.show(record)
