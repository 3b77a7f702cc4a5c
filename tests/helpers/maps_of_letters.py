"""Maps of a few one-byte pages as text: a letter per page, a run of one letter is a VMA, . a hole.

"aab.c" is VMA a at 0-2, b at 2-3, c at 4-5. Two neighbours with the same letter are one VMA.
"""

from itertools import groupby

from tests.helpers.entries import line
from untorn.judge.history import State
from untorn.maps.entry import MapsEntry


def vmas(text: str) -> State:
    lines, at = [], 0
    for letter, run in groupby(text):
        size = len(list(run))
        if letter != ".":
            lines.append(line(at, at + size, letter.encode()))
        at += size
    return tuple(lines)


def vma(text: str) -> MapsEntry:
    """Return the one VMA of a map."""
    (only,) = vmas(text)
    return only
