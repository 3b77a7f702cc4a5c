"""Read a text again: parse only what changed.

Both texts are in the parts in which they were read. If lines change but none is added or removed,
most parts are the same at the same place. If one is, all later parts differ, but have the same end.
Parts that are the same are never joined: that would take longer than all the rest, mostly for page
faults in fresh memory of that size.
"""

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from untorn.reader.text.columns import Columns
from untorn.reader.text.parse import parse

_MOST = 32
"""Runs of changed parts; if there are more, it is faster to parse everything."""


def parse_again(texts: Sequence[bytes], old_texts: Sequence[bytes], old: Columns) -> Columns:
    """Return parse(texts), reusing a similar text.

    Args:
        texts: The new text, in parts.
        old_texts: Another text, already parsed.
        old: The result of parsing it.

    Raises:
        ValueError: As parse().
    """
    if texts == old_texts:
        return old
    runs = _changed_runs(texts, old_texts)
    if len(runs) > _MOST:
        return parse(texts)
    pieces: list[Columns] = []
    part = above = 0  # what of the old text is done: parts, and lines in them
    row = shift = 0  # rows of old that are done, and by how much the lines after them have moved
    for run in runs:
        above += sum(text.count(b"\n") for text in old_texts[part : run.start])
        part = run.start
        head, text, old_text = _change(texts[run], old_texts[run])
        first = above + head
        changed = parse([text], first + shift + 1)
        pieces += [old.take(slice(row, first)), changed]
        row = first + old_text.count(b"\n")
        shift += first + len(changed) - row
    return Columns.join([*pieces, old.take(slice(row, None))])


def _changed_runs(texts: Sequence[bytes], old_texts: Sequence[bytes]) -> list[slice]:
    """Return the runs of parts that differ, from the start of a line to the end of one."""
    if not all(part.endswith(b"\n") for part in (*texts, *old_texts)):
        return [slice(0, None)]
    runs: list[slice] = []
    for number, (text, old_text) in enumerate(zip_longest(texts, old_texts)):
        if text != old_text:
            goes_on = bool(runs) and runs[-1].stop == number
            runs.append(slice(runs.pop().start if goes_on else number, number + 1))
    return runs


def _change(texts: Sequence[bytes], old_texts: Sequence[bytes]) -> tuple[int, bytes, bytes]:
    """Return how many lines both texts begin with, and the rest of each up to their common end."""
    below = _same_end(texts, old_texts)
    text, old_text = (_without_end(each, below) for each in (texts, old_texts))
    head, tail = _same_lines(text, old_text)
    lines = text.count(b"\n", 0, head)
    return lines, text[head : len(text) - tail], old_text[head : len(old_text) - tail]


def _same_end(texts: Sequence[bytes], old_texts: Sequence[bytes]) -> int:
    """Return how many bytes of whole lines both end with, or fewer, by up to one part."""
    new, old = list(texts), list(old_texts)
    ours = theirs = b""
    our_end = their_end = 0  # places before which nothing is compared yet
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
    """Return a text without its last size bytes."""
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
    """Return how many bytes at the start of two arrays of equal length are the same."""
    other = new != old
    return int(other.argmax()) if other.any() else len(new)
