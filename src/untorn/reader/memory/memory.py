"""The memory of a process, VMA by VMA, beside its map."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from untorn.reader.diff import Change
from untorn.reader.map_columns import MapColumns
from untorn.reader.memory.figure import Figure
from untorn.reader.memory.figures import figures_of_smaps
from untorn.reader.memory.smaps_fields import Masked
from untorn.reader.memory.smaps_text import SmapsText, parse_smaps
from untorn.reader.text.columns import Columns, Numbers, Rows
from untorn.reader.text.leniency import Leniency

FIELDS = (
    *("size", "rss", "pss", "private", "shared", "anonymous", "swap"),
    *("swap_pss", "locked", "huge", "hugetlb", "ksm", "guard"),
)
"""The quantities of a memory: see Memory."""
PARTS = (
    *("private_clean", "private_dirty", "shared_clean", "shared_dirty"),
    *("pss_dirty", "pss_anon", "pss_file", "pss_shmem"),
    *("huge_anon", "huge_shmem", "huge_file", "private_hugetlb", "shared_hugetlb", "page_size"),
)
"""Names that bounds() takes, too: smaps divides the quantities so."""


class How(StrEnum):
    """Where the numbers of a VMA come from."""

    SMAPS = "smaps"
    """The kernel walked its page tables."""
    PAGEMAP = "pagemap"
    """All its pages were counted, slice by slice."""
    SAMPLE = "sample"
    """Some of its slices were counted."""
    NOTHING = "nothing"
    """It changed each time we looked, or there was no time for it: only its size is known."""


def least_exact(ways: Iterable[str]) -> How:
    """Return the least exact of some ways; NOTHING if there are none."""
    there = set(ways)
    return next((how for how in reversed(How) if how in there), How.NOTHING)


@dataclass(frozen=True, slots=True)
class Amounts:
    """Sums over some VMAs, in bytes. None means unknown, or known only within bounds."""

    vmas: int | None
    """How many VMAs; None if only sums are known."""
    size: int | None = None
    rss: int | None = None
    pss: int | None = None
    private: int | None = None
    shared: int | None = None
    anonymous: int | None = None
    swap: int | None = None
    swap_pss: int | None = None
    locked: int | None = None
    huge: int | None = None
    hugetlb: int | None = None
    ksm: int | None = None
    guard: int | None = None
    bounds: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By field, the bounds of an inexact value; of an estimate, those of its 95 % interval."""

    def interval(self, name: str) -> tuple[int, int] | None:
        """Return the least and the most that a field can be; None if nothing is known."""
        value: int | None = getattr(self, name)
        return self.bounds.get(name, None if value is None else (value, value))

    def most(self, name: str) -> int:
        """Return a field's value, or its upper bound if that is unknown; 0 if there is none."""
        value: int | None = getattr(self, name)
        return (self.interval(name) or (0, 0))[1] if value is None else value


def sum_of(all_of_them: Iterable[Amounts]) -> Amounts:
    """Return sums of the fields that all have; the bounds of a sum are the sums of the bounds."""
    summands = list(all_of_them)
    sums: dict[str, int | None] = {}
    bounds: dict[str, tuple[int, int]] = {}
    for name in FIELDS:
        sums[name] = _sum_of_known([getattr(each, name) for each in summands])
        intervals = [each.interval(name) or (None, None) for each in summands]
        least, most = (_sum_of_known([each[end] for each in intervals]) for end in (0, 1))
        if least is not None and most is not None and least < most:
            bounds[name] = least, most
    return Amounts(_sum_of_known([each.vmas for each in summands]), **sums, bounds=bounds)


def _sum_of_known(values: Sequence[int | None]) -> int | None:
    """Return a sum; None if one of its summands is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


class Memory(MapColumns):
    """What a process has in memory: numbers of bytes, one row per VMA. Immutable.

    Each quantity is a numpy column of uint64. It is None unless it is known of every VMA; then
    bounds() may say something. In an estimate the columns are estimates, and bounds() says how
    good.

    Attributes:
        size: Size of the range.
        rss: Resident; the next ones, down to ksm, are parts of it.
        pss: Proportional: each page counts as its share of one mapping.
        private: In pages that are mapped once: what would be freed ("uss").
        shared: In pages that are mapped more than once.
        anonymous: In pages of no file.
        locked: Its share of the locked pages.
        huge: Mapped by entries of 2 MiB.
        ksm: In pages merged with equal pages of others.
        swap, swap_pss: In swap; and the same with each page's share only.
        hugetlb: In pages of hugetlbfs, which do not count in rss.
        guard: Guard pages, which nothing backs.
        how: Where the numbers come from: one How per VMA.
        changed: Whether the VMA did not exist, or was different, when the look began.
        changes: What changed in the map between the start and the end of the look.
        longest_hold_ns: How long the longest call took that held a lock, in ns; 0 for a text. The
            lock was held for less if the call waited for it, or dropped it in between.
        fields: The fields of a text of smaps, by the kernel's names, in bytes if the text has kB;
            masked where a VMA has none. Empty if no text was read.
        widths: Of fields that are not bytes: the least number of characters of a number.
        flags: The two letters of each flag of a VMA; None for a VMA without that line.
        leniencies: How a text from elsewhere differs from Linux's.
    """

    __slots__ = (
        *("_figures", "changed", "changes", "fields", "flags"),
        *("how", "leniencies", "longest_hold_ns", "widths"),
    )

    def __init__(
        self,
        columns: Columns,
        figures: Mapping[str, Figure],
        how: Sequence[How],
        *,
        changed: npt.NDArray[np.bool_] | None = None,
        changes: Sequence[Change] = (),
        longest_hold_ns: int = 0,
        smaps: SmapsText | None = None,
    ) -> None:
        """Take the result of a look; smaps only if it has all rows."""
        super().__init__(columns)
        self._figures = dict(figures)
        self.how = np.array(how, np.str_)
        self.changed = np.zeros(len(columns), np.bool_) if changed is None else changed
        self.changes, self.longest_hold_ns = tuple(changes), longest_hold_ns
        self.fields: Mapping[str, Masked] = smaps.fields if smaps else {}
        self.widths: Mapping[str, int] = smaps.widths if smaps else {}
        self.flags = tuple(smaps.flags) if smaps else (None,) * len(columns)
        self.leniencies: tuple[Leniency, ...] = smaps.leniencies if smaps else ()

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Return the memory in a text of smaps or smaps_rollup; the latter makes one row.

        The text may be any kernel's, with any fields: see parse_smaps(). A sum with a missing part
        is unknown.

        Raises:
            ValueError: The text is neither; the message says where and why.
        """
        smaps = parse_smaps(text)
        figures = figures_of_smaps(smaps)
        return cls(smaps.columns, figures, [How.SMAPS] * len(smaps.columns), smaps=smaps)

    @property
    def estimated(self) -> bool:
        """Whether some numbers are estimated from a sample."""
        return any(each.variance is not None for each in self._figures.values())

    @property
    def size(self) -> Numbers | None:
        """Sizes of the ranges."""
        return self._value("size")

    @property
    def rss(self) -> Numbers | None:
        """Resident."""
        return self._value("rss")

    @property
    def pss(self) -> Numbers | None:
        """Each page counts as its share of one mapping."""
        return self._value("pss")

    @property
    def private(self) -> Numbers | None:
        """In pages that are mapped once."""
        return self._value("private")

    @property
    def shared(self) -> Numbers | None:
        """In pages that are mapped more than once."""
        return self._value("shared")

    @property
    def anonymous(self) -> Numbers | None:
        """In pages of no file."""
        return self._value("anonymous")

    @property
    def swap(self) -> Numbers | None:
        """In swap."""
        return self._value("swap")

    @property
    def swap_pss(self) -> Numbers | None:
        """In swap, each page's share only."""
        return self._value("swap_pss")

    @property
    def locked(self) -> Numbers | None:
        """Its share of the locked pages."""
        return self._value("locked")

    @property
    def huge(self) -> Numbers | None:
        """Mapped by entries of 2 MiB."""
        return self._value("huge")

    @property
    def hugetlb(self) -> Numbers | None:
        """In pages of hugetlbfs."""
        return self._value("hugetlb")

    @property
    def ksm(self) -> Numbers | None:
        """In pages merged with equal pages."""
        return self._value("ksm")

    @property
    def guard(self) -> Numbers | None:
        """Guard pages."""
        return self._value("guard")

    def bounds(self, name: str) -> tuple[Numbers, Numbers] | None:
        """Return the least and the most that each row can be; None if nothing is known.

        Args:
            name: One of FIELDS or PARTS.

        Raises:
            ValueError: There is no such field or part.
        """
        if name not in FIELDS and name not in PARTS:
            raise ValueError(f"no quantity {name}; there are {', '.join(FIELDS)}")
        figure = self._figures.get(name)
        return None if figure is None else figure.interval()

    @property
    def total(self) -> Amounts:
        """The sums over all VMAs."""
        (total,) = self._grouped(np.zeros(len(self), np.intp), 1)
        return total

    def by_name(self) -> dict[bytes, Amounts]:
        """Return the sums by name of VMAs, the most resident first."""
        sums = dict(
            zip(self.names, self._grouped(self.name.astype(np.intp), len(self.names)), strict=True)
        )
        largest = sorted(sums, key=lambda name: sums[name].most("rss"), reverse=True)
        return {name: sums[name] for name in largest if sums[name].vmas}

    def _grouped(self, groups: Rows, number: int) -> list[Amounts]:
        """Return the sums of each group."""
        values: list[dict[str, Any]] = [{} for _ in range(number)]
        bounds: list[dict[str, tuple[int, int]]] = [{} for _ in range(number)]
        for name in self._figures.keys() & set(FIELDS):
            sums = self._figures[name].grouped(groups, number)
            lows, highs = (each.tolist() for each in (sums.low, sums.high))
            for group, (least, most) in enumerate(np.transpose(sums.interval()).tolist()):
                if lows[group] == highs[group]:
                    values[group][name] = lows[group]
                if least != most:
                    bounds[group][name] = least, most
        vmas = np.bincount(groups, minlength=number).tolist()
        return [
            Amounts(vmas[group], bounds=bounds[group], **values[group]) for group in range(number)
        ]

    def _value(self, name: str) -> Numbers | None:
        figure = self._figures.get(name)
        return None if figure is None else figure.value

    def __repr__(self) -> str:
        rss = self.total.rss
        known = "" if rss is None else f", {rss >> 10} KiB resident"
        return f"<Memory of {len(self)} VMAs{known}>"
