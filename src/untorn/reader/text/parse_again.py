"""A text that is read again: only what changed is parsed, from the first change to the last.

Both texts are in parts, as they were read, and are compared part by part: to join them would take
more time than all the rest, most of it for page faults in fresh memory of that size.
"""

from collections.abc import Sequence
from itertools import takewhile

import numpy as np
import numpy.typing as npt

from untorn.reader.text.columns import Columns
from untorn.reader.text.parse import parse


def parse_again(texts: Sequence[bytes], old_texts: Sequence[bytes], old: Columns) -> Columns:
    """Return parse(texts) by one that is like it.

    Args:
        texts: The new text, in parts.
        old_texts: Another one, already read.
        old: What it was read as.

    Raises:
        ValueError: As parse().
    """
    if texts == old_texts:
        return old
    same = _same_parts(texts, old_texts)
    new_rest, old_rest = texts[same:], old_texts[same:]
    below = _same_end(new_rest, old_rest)
    text, old_text = (_without_end(rest, below) for rest in (new_rest, old_rest))
    head, tail = _same_lines(text, old_text)
    above = sum(part.count(b"\n") for part in texts[:same]) + text.count(b"\n", 0, head)
    changed = parse([text[head : len(text) - tail]], above + 1)
    replaced = old_text.count(b"\n", head, len(old_text) - tail)
    return Columns.join([old.take(slice(above)), changed, old.take(slice(above + replaced, None))])


def _same_parts(texts: Sequence[bytes], old_texts: Sequence[bytes]) -> int:
    """Return with how many parts both begin that are the same, and end with a line."""
    pairs = zip(texts, old_texts, strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    while same and not texts[same - 1].endswith(b"\n"):
        same -= 1
    return same


def _same_end(texts: Sequence[bytes], old_texts: Sequence[bytes]) -> int:
    """Return how many bytes of whole lines both end with; there may be more in one part more."""
    new, old = list(texts), list(old_texts)
    ours = theirs = b""
    our_end = their_end = 0  # before these places, they are not compared yet
    same = lines = 0
    while True:
        if not our_end and new:
            ours = new.pop()
            our_end = len(ours)
        if not their_end and old:
            theirs = old.pop()
            their_end = len(theirs)
        size = min(our_end, their_end)
        if not size or not ours.endswith(theirs[their_end - size : their_end], 0, our_end):
            return lines
        if line := theirs.find(b"\n", their_end - size, their_end) + 1:
            lines = same + their_end - line
        same += size
        our_end -= size
        their_end -= size


def _without_end(texts: Sequence[bytes], size: int) -> bytes:
    """Return a text without its last bytes, that many."""
    left = sum(map(len, texts)) - size
    parts: list[bytes] = []
    for text in texts:
        if left <= 0:
            break
        parts.append(text[:left])
        left -= len(text)
    return b"".join(parts)


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
