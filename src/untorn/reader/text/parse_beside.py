"""A text is parsed while it is read, by a second thread on a second processor.

It is the thread that looks which reads: time limit, pace and raised priority are those of the
thread that makes the system calls (see access/). The helper makes none on behalf of the look.

No helper outlives its look. It takes texts until it takes None; end() gives it that and waits, and
is called on every way out. If Ctrl-C ends the waiting, the helper ends all the same. If the look
is left behind in the kernel, its helper waits for it, and keeps the program from ending as little.
What the helper has is its own from start() until it is over, and is ours after that.
"""

import _thread
import os
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Self

from untorn.reader.text.columns import Columns
from untorn.reader.text.parse import Parser, parse

LONG = 1 << 17
"""Bytes of a first part; it takes longer to parse than to start a thread."""
_LINES = 1 << 16
"""As many as a process may have VMAs, unless vm.max_map_count was raised."""


class ParserBeside:
    """Parses a text while it is read, if that helps. A context: no thread is left after it."""

    def __init__(self) -> None:
        self._helper: _Helper | None = None
        self._began = False

    def add(self, texts: Sequence[bytes]) -> None:
        """Take what was read."""
        if not self._began and sum(map(len, texts)) >= LONG and may_help():
            self._helper = _start()
        self._began = True
        if self._helper:
            self._helper.texts.put(texts)

    def columns(self, texts: Sequence[bytes]) -> Columns:
        """Return the columns of texts, which is all that was added. Raises as parse()."""
        if self._helper is None:
            return parse(texts)
        self._helper.end()
        if self._helper.error:
            raise self._helper.error
        return self._helper.parser.columns()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._helper:
            self._helper.end()


class _Helper:
    """Parses what it is given, until the end of it or an error."""

    def __init__(self) -> None:
        self.texts: SimpleQueue[Sequence[bytes] | None] = SimpleQueue()
        self.parser = Parser(_LINES)
        self.error: BaseException | None = None
        self._over = _thread.allocate_lock()  # held until it is over

    def start(self) -> None:
        """Begin. Raises RuntimeError if no thread can be had."""
        self._over.acquire()
        _thread.start_new_thread(self._parse, ())

    def _parse(self) -> None:
        try:
            while (texts := self.texts.get()) is not None:
                self.parser.add(texts)
        except BaseException as error:
            self.error = error
        self._over.release()

    def end(self) -> None:
        """Give it no more, and wait until it is over; once is enough, twice does no harm."""
        self.texts.put(None)
        with self._over:
            pass


def may_help() -> bool:
    """Tell whether a second processor is likely to be idle.

    If it is not, two threads that hand the GIL to and fro take longer than one.
    """
    processors = len(os.sched_getaffinity(0))
    try:
        return processors > 1 and os.getloadavg()[0] < processors - 0.5
    except OSError:
        return False


def _start() -> _Helper | None:
    helper = _Helper()
    try:
        helper.start()
    except RuntimeError:  # there are too many threads, or the interpreter is ending
        return None
    return helper
