"""The text of a maps file, read into columns: in large blocks, or line by line if it is short."""

from collections.abc import Iterable, Sequence

from untorn.reader.text.block import Block, Table, read_lines
from untorn.reader.text.columns import Columns
from untorn.reader.text.line_endings import LineEndings

SHORT = 7 << 10
"""Bytes; the lines of so short a text, some seventy, are read faster one by one."""
BLOCK = 1 << 19
"""Bytes read together; columns of that many lines fit the processor's cache."""
SHORTEST = len(b"00400000-00401000 r--p 00000000 00:00 0 \n")
"""Bytes of a line."""


def parse(texts: Sequence[bytes], first: int = 1) -> Columns:
    """Return one row a line.

    Args:
        texts: The text in parts.
        first: The number of its first line, for errors.

    Raises:
        ValueError: A line is cut off or not one of maps; the message has its number and the
            reason.
    """
    size = sum(map(len, texts))
    if size <= SHORT:
        return Columns.of_entries(read_lines(b"".join(texts), first))
    parser = Parser(size // SHORTEST, first)
    parser.add(texts)
    return parser.columns()


class Parser:
    """A long text that is read into columns as it comes.

    Args:
        lines: How many there probably are at most; if there are more, columns are copied once.
        first: The number of the first line, for errors.
    """

    def __init__(self, lines: int, first: int = 1) -> None:
        self._lines, self._first = lines, first
        self._endings = LineEndings()
        self._full: list[Table] = []
        self._table = Table.empty(lines)
        self._count = 0  # rows of the table that are written
        self._waiting: list[bytes] = []
        self._size = 0  # bytes that wait

    def add(self, texts: Iterable[bytes]) -> None:
        """Take what follows, and read what is enough for a block. Raises as parse()."""
        for text in texts:
            self._waiting.append(text)
            self._size += len(text)
            if self._size >= BLOCK:
                self._read_blocks(b"".join(self._waiting))

    def columns(self) -> Columns:
        """Read the rest, and return one row a line of all there was. Raises as parse()."""
        self._read(b"".join(self._waiting))
        table = Table.join([*self._full, self._table.rows(0, self._count)])
        return Columns.of(
            self._endings.names,
            start=table.start,
            end=table.end,
            permissions=table.permissions,
            offset=table.offset,
            **self._endings.columns(table.ending),
        )

    def _read_blocks(self, text: bytes) -> None:
        """Read blocks of whole lines; what is left waits."""
        begin = 0
        while len(text) - begin >= BLOCK and (
            end := text.rfind(b"\n", begin, begin + 2 * BLOCK) + 1
        ):
            self._read(text[begin:end])
            begin = end
        self._waiting, self._size = [text[begin:]], len(text) - begin

    def _read(self, text: bytes) -> None:
        block = Block(text, self._first)
        block.read(self._room(len(block)), self._endings)
        self._first += len(block)

    def _room(self, count: int) -> Table:
        """Return the place of so many more rows."""
        if self._count + count > len(self._table.start):
            self._full.append(self._table.rows(0, self._count))
            self._table, self._count = Table.empty(max(self._lines, count)), 0
        self._count += count
        return self._table.rows(self._count - count, self._count)
