"""The text of a maps file, read into columns: in large blocks, or line by line if it is short."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from untorn.maps.entry import MapsEntry
from untorn.reader.text.block import Block, read_line
from untorn.reader.text.columns import Columns
from untorn.reader.text.line_endings import LineEndings

SHORT = 4096
"""Bytes, as many as a fill has: the lines of so short a text are read faster one by one."""
BLOCK = 1 << 19
"""Bytes read together; columns of that many lines fit the processor's cache."""


def parse(texts: Sequence[bytes]) -> Columns:
    """Return one row a line.

    Args:
        texts: The text, in parts of whole lines.

    Raises:
        ValueError: A line is cut off or not one of maps; the message has its number, from 1, and
            the reason.
    """
    if sum(map(len, texts)) <= SHORT:
        return Columns.of_entries(parse_one_by_one(b"".join(texts)))
    endings = LineEndings()
    parts: list[Block] = []
    first = 1
    for text in _blocks(texts):
        parts.append(Block(text, first, endings))
        first += len(parts[-1])
    columns = {
        field: np.concatenate([getattr(part, field) for part in parts])
        for field in ("start", "end", "permissions", "offset", "ending")
    }
    return Columns.of(endings.names, **columns, **endings.columns(columns.pop("ending")))


def _blocks(texts: Sequence[bytes]) -> Iterator[bytes]:
    """Put small parts together and cut large ones, at ends of lines."""
    part: list[bytes] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size < BLOCK:
            continue
        whole = b"".join(part)
        begin = 0
        while len(whole) - begin > BLOCK and (cut := whole.rfind(b"\n", begin, begin + BLOCK) + 1):
            yield whole[begin:cut]
            begin = cut
        part, size = [whole[begin:]], len(whole) - begin
    if size:
        yield b"".join(part)


def parse_one_by_one(text: bytes) -> list[MapsEntry]:
    """Return one entry a line, read one by one. Raises ValueError as parse()."""
    lines = text.split(b"\n")
    last = lines.pop()
    entries = [read_line(number, line + b"\n") for number, line in enumerate(lines, 1)]
    if last:
        read_line(len(lines) + 1, last)
    return entries


def parse_again(texts: Sequence[bytes], old_texts: Sequence[bytes], old: Columns) -> Columns:
    """Return parse(texts) by one that is like it: only what changed is read, from first to last.

    Args:
        texts: The new text, in parts of whole lines.
        old_texts: Another one, already read.
        old: What it was read as.

    Raises:
        ValueError: As parse(); lines count from the first that changed.
    """
    if texts == old_texts:
        return old
    text, old_text = b"".join(texts), b"".join(old_texts)
    head, tail = _same_lines(text, old_text)
    above, below = old_text.count(b"\n", 0, head), old_text.count(b"\n", len(old_text) - tail)
    changed = parse([text[head : len(text) - tail]])
    return Columns.join([old.take(slice(above)), changed, old.take(slice(len(old) - below, None))])


def _same_lines(text: bytes, old_text: bytes) -> tuple[int, int]:
    """Return how many bytes of whole lines both begin with, and how many both end with."""
    new, old = (np.frombuffer(each, np.uint8) for each in (text, old_text))
    size = min(len(new), len(old))
    head = text.rfind(b"\n", 0, _same_bytes(new[:size], old[:size])) + 1
    size -= head
    tail = _same_bytes(new[::-1][:size], old[::-1][:size])
    cut = text.find(b"\n", len(text) - tail) + 1
    return head, len(text) - cut if cut else 0


def _same_bytes(new: npt.NDArray[np.uint8], old: npt.NDArray[np.uint8]) -> int:
    """Return how many bytes two arrays of one length have in common before the first other."""
    other = new != old
    return int(other.argmax()) if other.any() else len(new)
