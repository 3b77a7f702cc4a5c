"""Estimate the memory of VMAs by a stratified sample, if there is no time to count all of it.

We draw chunks of addresses. Small VMAs are counted whole. A large one is cut into strata of equal
numbers of consecutive chunks, and two chunks are drawn from each stratum. Differences between
regions then cause no error, and the two chunks show how much the chunks of a region differ, which
gives the uncertainty of the estimate. Chunks that look alike prove little about those that were
not drawn, so the error may be as large again as the share of one drawn chunk.

Source: W. G. Cochran, Sampling Techniques, chapter 5 (stratified random sampling).
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from untorn.reader.memory.quantity import LOWS, PSS_SHIFT, SHARES, SLACKS, Counts, Quantity, Reals
from untorn.reader.text.columns import Numbers, Rows
from untorn.reader.text.hex_field import Truths

Count = Callable[[Sequence[int], Sequence[int]], Counts]
"""Counts the pages of ranges: see Counter.count()."""
Populated = Callable[[int, int, int], Iterable[tuple[int, int]]]
"""Finds populated pieces of a range: see Slices.populated(). May raise TimeoutError."""
_STRIDES = 256
"""About how many pieces to cut the rest into, to see where something is mapped."""
_DRAWS = 2
"""Chunks drawn per stratum."""
_PIECES = 256
"""Small ranges to count between two looks at the clock."""
_TRIAL, _AT_ONCE = 4, 32
"""Chunks that show how long one takes; and chunks between two looks at the clock."""
_USED = 0.8
"""The part of the time that is planned for."""
_UNITS = np.where(np.isin(list(Quantity), SHARES), 1 << PSS_SHIFT, 1)
"""Units per byte of each quantity."""


class Estimate(NamedTuple):
    """What ranges have, one row each."""

    counts: Counts
    variance: Reals
    """Of the counts, or of counts plus slack if that is larger; 0 if a range was counted whole."""
    looked_at: Truths
    """Whether there was time for any of it; if not, nothing is known."""


class Chunks(NamedTuple):
    """Pieces of ranges, in address order."""

    start: Numbers
    end: Numbers
    row: Rows
    """The range to which each belongs."""

    def take(self, which: Truths) -> "Chunks":
        """Return some of them."""
        return Chunks(self.start[which], self.end[which], self.row[which])


def cut(start: Numbers, end: Numbers, row: Rows, size: int) -> Chunks:
    """Cut pieces of ranges at each multiple of a size in bytes, a power of 2."""
    shift = np.uint64(size.bit_length() - 1)
    first, last = start >> shift, (end - np.uint64(1)) >> shift
    numbers = (last - first + np.uint64(1)).astype(np.intp)
    piece = np.repeat(np.arange(len(start)), numbers)
    within = np.arange(len(piece)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    begin = (first[piece] + within.astype(np.uint64)) << shift
    return Chunks(
        np.maximum(begin, start[piece]),
        np.minimum(begin + np.uint64(size), end[piece]),
        row[piece],
    )


def estimate(
    count: Count,
    start: Numbers,
    end: Numbers,
    chunk: int,
    deadline: float,
    *,
    populated: Populated | None = None,
    seed: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Estimate:
    """Estimate what ranges have from a sample of chunks, as large as time permits.

    Args:
        count: Counts the pages of ranges.
        start: Byte addresses of ranges, disjoint and ascending.
        end: Byte addresses, exclusive.
        chunk: Bytes of a chunk; a power of 2.
        deadline: When to end, by the clock.
        populated: Finds where something is mapped: chunks are drawn only there.
        seed: Seed of the choice of chunks; None for a new choice each time.
        clock: Returns the time in seconds.
    """
    counts = np.zeros((len(start), len(Quantity)), np.int64)
    variance, looked_at = np.zeros(counts.shape), np.ones(len(start), np.bool_)
    pieces = Chunks(start, end, np.arange(len(start)))
    large = _are_large(cut(*pieces, chunk).row, len(start))
    half = (clock() + deadline) / 2
    small = np.flatnonzero(~large)
    done = _count_whole(count, pieces, small, counts, lambda: clock() < half)
    looked_at[small[done:]] = False
    pieces = pieces.take(large)
    if populated:
        pieces = _narrow(pieces, populated, chunk)
    chunks = cut(*pieces, chunk)
    large = _are_large(chunks.row, len(start))
    _count_whole(count, pieces, np.flatnonzero(~large[pieces.row]), counts)
    chunks = chunks.take(large[chunks.row])
    if len(chunks.row):
        drawing = _Drawing(chunks, count, np.random.default_rng(seed))
        drawing.draw(deadline, clock)
        for row in np.flatnonzero(large).tolist():
            counts[row], variance[row] = drawing.total(row)
    return Estimate(counts, variance, looked_at)


def _are_large(rows: Rows, number: int) -> Truths:
    """Return which rows have more chunks than are drawn from a stratum."""
    large: Truths = np.bincount(rows, minlength=number) > _DRAWS
    return large


def _count_whole(
    count: Count,
    pieces: Chunks,
    which: Rows,
    counts: Counts,
    has_time: Callable[[], bool] = lambda: True,
) -> int:
    """Add the counts of pieces while there is time; return how many were counted."""
    done = 0
    while done < len(which) and has_time():
        some = which[done : done + _PIECES]
        found = count(pieces.start[some].tolist(), pieces.end[some].tolist())
        np.add.at(counts, pieces.row[some], found)
        done += len(some)
    return done


def _narrow(pieces: Chunks, populated: Populated, chunk: int) -> Chunks:
    """Return the parts of pieces in which something is mapped, found in ever shorter strides.

    Unused reservations drop out; in ranges that are full, strides are not shortened.
    """
    late = False
    stride, size = 0, _bytes_of(pieces)
    while not late and stride != chunk:
        stride = max(chunk, 1 << (size // _STRIDES).bit_length())
        parts: list[tuple[int, int, int]] = []
        for start, end, row in zip(*(each.tolist() for each in pieces), strict=True):
            try:
                parts += [(*part, row) for part in populated(start, end, stride)]
            except TimeoutError:
                parts.append((start, end, row))
                late = True
        columns = np.array(parts, np.uint64).reshape(-1, 3)
        pieces = Chunks(columns[:, 0], columns[:, 1], columns[:, 2].astype(np.intp))
        before, size = size, _bytes_of(pieces)
        if size > before // 2:
            break
    return pieces


def _bytes_of(pieces: Chunks) -> int:
    return int((pieces.end - pieces.start).sum())


class _Drawing:
    """A sample of chunks.

    Args:
        chunks: The chunks to draw from; more than _DRAWS in each row.
        count: Counts the pages of ranges.
        chance: The random generator.
    """

    def __init__(self, chunks: Chunks, count: Count, chance: np.random.Generator) -> None:
        self._chunks, self._count, self._chance = chunks, count, chance
        self._stratum = np.zeros(len(chunks.row), np.intp)
        self._drawn = np.zeros(len(chunks.row), np.bool_)
        self._counts = np.zeros((len(chunks.row), len(Quantity)), np.int64)

    def draw(self, deadline: float, clock: Callable[[], float]) -> None:
        """Draw chunks until there are enough, or time is up."""
        total = len(self._stratum)
        began = clock()
        self._look_at(self._chance.choice(total, min(total, _TRIAL), replace=False))
        each = (clock() - began) / min(total, _TRIAL)
        time_for = max(int((deadline - clock()) * _USED / each), _DRAWS) if each else total
        self._stratify(max(_DRAWS, -(-_DRAWS * total // time_for)))
        order = self._order()
        first = 0
        while first < len(order) and clock() < deadline:
            at_once = max(1, min(_AT_ONCE, int((deadline - clock()) / each))) if each else _AT_ONCE
            self._look_at(order[first : first + at_once])
            first += at_once

    def _stratify(self, size: int) -> None:
        """Put each row's chunks into strata of about equal size."""
        number = place = 0
        for chunks in np.unique(self._chunks.row, return_counts=True)[1].tolist():
            strata = -(-chunks // size)
            here = np.arange(chunks) * strata // chunks
            self._stratum[place : place + chunks] = number + here
            place, number = place + chunks, number + strata

    def _order(self) -> Rows:
        """Return the order of drawing: a random chunk of each stratum, then a second one."""
        shuffled = self._chance.permutation(np.flatnonzero(~self._drawn))
        by_stratum = shuffled[np.argsort(self._stratum[shuffled], kind="stable")]
        first = np.searchsorted(self._stratum[by_stratum], self._stratum[by_stratum])
        turn = np.arange(len(by_stratum)) - first  # its rank within its stratum
        turns = [by_stratum[turn == number] for number in range(_DRAWS)]
        return np.concatenate([self._chance.permutation(each) for each in turns])

    def _look_at(self, chunks: Rows) -> None:
        """Count the pages of some chunks."""
        chunks = np.sort(chunks)
        starts, ends = self._chunks.start[chunks], self._chunks.end[chunks]
        self._counts[chunks] = self._count(starts.tolist(), ends.tolist())
        self._drawn[chunks] = True

    def total(self, row: int) -> tuple[npt.NDArray[np.int64], Reals]:
        """Return the total of a row, and its variance."""
        mine = self._chunks.row == row
        drawn = self._drawn[mine]
        counts = self._counts[mine][drawn].astype(np.float64)
        _, stratum = np.unique(self._stratum[mine], return_inverse=True)
        sizes, draws = np.bincount(stratum), np.bincount(stratum[drawn])
        if len(draws) < len(sizes) or (draws < np.minimum(sizes, _DRAWS)).any():
            stratum, sizes = np.zeros_like(stratum), np.array([len(stratum)])  # time was up
        total, variance = _estimate(counts, stratum[drawn], sizes)
        left = int((self._chunks.end - self._chunks.start)[mine][~drawn].sum())
        return total, variance + (left / max(len(counts), 1) * _UNITS) ** 2


def _estimate(
    counts: Reals, stratum: Rows, sizes: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.int64], Reals]:
    """Return the total of a population and its variance, from the chunks drawn per stratum."""
    draws = np.bincount(stratum, minlength=len(sizes))
    with_slack = counts.copy()
    with_slack[:, LOWS] += counts[:, SLACKS]
    totals, variance = zip(
        *(_stratified(each, stratum, sizes, draws) for each in (counts, with_slack)), strict=True
    )
    return np.rint(totals[0]).astype(np.int64), np.maximum(*variance)


def _stratified(
    values: Reals, stratum: Rows, sizes: npt.NDArray[np.intp], draws: npt.NDArray[np.intp]
) -> tuple[Reals, Reals]:
    """Return the totals of columns, and their variances."""
    sums = np.zeros((len(sizes), values.shape[1]))
    np.add.at(sums, stratum, values)
    means = sums / np.maximum(draws, 1)[:, np.newaxis]
    squares = np.zeros_like(sums)
    np.add.at(squares, stratum, (values - means[stratum]) ** 2)
    left = sizes - draws
    weight = sizes * left / np.maximum(draws * (draws - 1), 1)
    return sizes @ means, weight @ squares
