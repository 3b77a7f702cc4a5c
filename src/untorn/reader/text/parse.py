"""Read the text of a maps file into columns: in large blocks, or line by line if it is short."""

from collections.abc import Iterator, Sequence

from untorn.reader.text.block import Block, Table, read_lines
from untorn.reader.text.columns import Columns
from untorn.reader.text.line_endings import LineEndings

SHORT = 7 << 10
"""Bytes; the lines of a text this short, some seventy, are read faster one by one."""
BLOCK = 1 << 19
"""Bytes read together; columns of that many lines fit into the CPU's cache."""
SHORTEST = len(b"00400000-00401000 r--p 00000000 00:00 0 \n")
"""Bytes of the shortest line."""


def parse(texts: Sequence[bytes], first: int = 1) -> Columns:
    """Return one row per line.

    Args:
        texts: The text in parts.
        first: The number of its first line, for errors.

    Raises:
        ValueError: A line is truncated or not one of maps; the message has its number and the
            reason.
    """
    size = sum(map(len, texts))
    if size <= SHORT:
        return Columns.of_entries(read_lines(b"".join(texts), first))
    endings = LineEndings()
    table = Table.empty(size // SHORTEST)
    count = 0
    for text in _blocks(texts):
        count += len(Block(text, first + count, endings, table.rows(count, len(table.start))))
    start, end, offset, permissions, ending = table.rows(0, count)
    return Columns.of(
        endings.names,
        start=start,
        end=end,
        offset=offset,
        permissions=permissions,
        **endings.columns(ending),
    )


def _blocks(texts: Sequence[bytes]) -> Iterator[bytes]:
    """Join small parts and cut large ones, at ends of lines."""
    part: list[bytes] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size < BLOCK:
            continue
        whole = b"".join(part)
        begin = 0
        while len(whole) - begin >= BLOCK and (
            end := whole.rfind(b"\n", begin, begin + 2 * BLOCK) + 1
        ):
            yield whole[begin:end]
            begin = end
        part, size = [whole[begin:]], len(whole) - begin
    if size:
        yield b"".join(part)
