"""One quantity of each VMA: exact, within bounds, or estimated from a sample."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from untorn.reader.memory.quantity import Reals
from untorn.reader.text.columns import Numbers, Rows

QUANTILE = 2.3
"""Standard deviations on each side of an estimate that give a 95 % interval: 1.96 if they are
known, and some more if they are estimates themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """One row per VMA, in bytes: each is at least `low` and at most `high`.

    Attributes:
        low, high: Equal if the quantity is known.
        variance: Of both, if they are estimated from a sample; 0 for a row that is not; None if no
            row is.
        most: What they cannot exceed, however uncertain; None if nothing is an estimate.
    """

    low: Numbers
    high: Numbers
    variance: Reals | None = None
    most: Numbers | None = None

    @classmethod
    def exact(cls, values: npt.ArrayLike) -> Self:
        """Return a figure of known values."""
        return cls.between(values, values)

    @classmethod
    def between(cls, low: npt.ArrayLike, high: npt.ArrayLike) -> Self:
        """Return a figure with bounds; a row whose bounds are equal is exact."""
        least, most = np.asarray(low, np.uint64), np.asarray(high, np.uint64)
        for bound in least, most:
            bound.setflags(write=False)
        return cls(least, least if np.array_equal(least, most) else most)

    def estimated(self, variance: Reals, most: Numbers) -> "Figure":
        """Return this figure as an estimate, or unchanged if every variance is 0.

        A sample may give more than there can be: the excess is cut off.
        """
        if not variance.any():
            return self
        low = np.minimum(self.low, most)
        high = low if self.value is not None else np.minimum(self.high, most)
        return Figure(low, high, variance, most)

    @property
    def value(self) -> Numbers | None:
        """The column, of exact or estimated values; None if there are only bounds."""
        return self.low if self.low is self.high else None

    def interval(self) -> tuple[Numbers, Numbers]:
        """Return the bounds of each row: certain ones, or the 95 % interval of an estimate."""
        if self.variance is None or self.most is None:
            return self.low, self.high
        margin = np.ceil(QUANTILE * np.sqrt(self.variance)).astype(np.uint64)
        return self.low - np.minimum(self.low, margin), np.minimum(self.high + margin, self.most)

    def grouped(self, groups: Rows, number: int) -> "Figure":
        """Return the sums by group.

        Args:
            groups: The group of each row, from 0.
            number: How many groups there are.
        """
        sums = Figure.between(*(_sums(each, groups, number) for each in (self.low, self.high)))
        if self.variance is None or self.most is None:
            return sums
        variance = np.bincount(groups, self.variance, number).astype(np.float64)
        return sums.estimated(variance, _sums(self.most, groups, number))


def _sums(values: Numbers, groups: Rows, number: int) -> Numbers:
    sums = np.zeros(number, np.uint64)
    np.add.at(sums, groups, values)
    return sums
