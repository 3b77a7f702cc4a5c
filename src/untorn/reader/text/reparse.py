"""A text of maps that is like one that was read before."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from untorn.reader.text.columns import Columns
from untorn.reader.text.parse import parse


def parse_again(texts: Sequence[bytes], old_texts: Sequence[bytes], old: Columns) -> Columns:
    """Return parse(texts), reading only the lines from the first to the last that changed.

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
