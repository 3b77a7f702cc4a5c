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
"""What bounds() tells, too: as smaps divides these."""


class How(StrEnum):
    """Where the numbers of a VMA come from."""

    SMAPS = "smaps"
    """The kernel walked its page tables."""
    PAGEMAP = "pagemap"
    """All its pages were counted, slice by slice."""
    SAMPLE = "sample"
    """Some of its slices were."""
    NOTHING = "nothing"
    """It changed each time that it was looked at, or there was no time for it: only its size is
    known."""


def least_exact(ways: Iterable[str]) -> How:
    """Return the least exact of some ways; NOTHING of none."""
    there = set(ways)
    return next((how for how in reversed(How) if how in there), How.NOTHING)


@dataclass(frozen=True, slots=True)
class Amounts:
    """Sums over some VMAs, in bytes. What is None is not known, or has bounds."""

    vmas: int | None
    """How many; None if only sums were told."""
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
    """By field, the least and the most that what is not exact can be; of an estimate, with 95 %."""

    def interval(self, name: str) -> tuple[int, int] | None:
        """Return the least and the most that a field can be; None if nothing is known."""
        value: int | None = getattr(self, name)
        return self.bounds.get(name, None if value is None else (value, value))

    def most(self, name: str) -> int:
        """Return what a field is, or at most, if that is not known; 0 if nothing is known."""
        value: int | None = getattr(self, name)
        return (self.interval(name) or (0, 0))[1] if value is None else value


def sum_of(all_of_them: Iterable[Amounts]) -> Amounts:
    """Return the sums, each of what all have; the bounds of a sum are the sums of the bounds."""
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
    """Return a sum; None if one of its summands is not known."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


class Memory(MapColumns):
    """What a process has in memory, in bytes, a row a VMA. Never changes.

    Each quantity is a column, of numpy's uint64; None where it is not known of each VMA: then
    bounds() may tell something. Those of an estimate are estimates, and bounds() says how good.

    Attributes:
        size: Addresses.
        rss: Resident, as all that follows down to ksm, which are parts of it.
        pss: Each page by the share that one of its mappings has.
        private: Of pages that are mapped once: what would be freed ("uss").
        shared: Of pages that are mapped more often.
        anonymous: Of no file.
        locked: Its share of locked pages.
        huge: Mapped by entries of 2 MiB.
        ksm: Merged with equal pages of others.
        swap, swap_pss: In swap; the same, each by its share.
        hugetlb: In pages of hugetlbfs, which are not in rss.
        guard: Guard pages; nothing is behind them.
        how: Where the numbers come from: a How each.
        changed: Whether the VMA was not there yet, or not the same, when the look began.
        changes: What changed in the map from the beginning of the look to its end.
        longest_hold_ns: How long the longest call took in which a lock was held, in ns; 0 of a
            text. It was held for less if the call waited for it, or let go of it in between.
        fields: What a text of smaps tells, by the kernel's names, in bytes where that has kB;
            masked where a VMA has none. Empty if none was read.
        widths: Of those fields that are no bytes: characters that a number takes there at least.
        flags: The two letters of each flag there; None of a VMA without them.
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
        """Take what a look found; smaps only if all rows are of it."""
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
        """Return what a text of smaps or smaps_rollup tells; of the latter, one row.

        Of any kernel, whatever fields it has: see parse_smaps(). A sum of which a part is missing
        is not known.

        Raises:
            ValueError: It is none; the message says where and why.
        """
        smaps = parse_smaps(text)
        figures = figures_of_smaps(smaps)
        return cls(smaps.columns, figures, [How.SMAPS] * len(smaps.columns), smaps=smaps)

    @property
    def estimated(self) -> bool:
        """Whether some numbers are estimates by a sample."""
        return any(each.variance is not None for each in self._figures.values())

    @property
    def size(self) -> Numbers | None:
        """Addresses."""
        return self._value("size")

    @property
    def rss(self) -> Numbers | None:
        """Resident."""
        return self._value("rss")

    @property
    def pss(self) -> Numbers | None:
        """Each page by the share that one of its mappings has."""
        return self._value("pss")

    @property
    def private(self) -> Numbers | None:
        """Of pages that are mapped once."""
        return self._value("private")

    @property
    def shared(self) -> Numbers | None:
        """Of pages that are mapped more often."""
        return self._value("shared")

    @property
    def anonymous(self) -> Numbers | None:
        """Of no file."""
        return self._value("anonymous")

    @property
    def swap(self) -> Numbers | None:
        """In swap."""
        return self._value("swap")

    @property
    def swap_pss(self) -> Numbers | None:
        """In swap, each page by its share."""
        return self._value("swap_pss")

    @property
    def locked(self) -> Numbers | None:
        """Its share of locked pages."""
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
        """Merged with equal pages."""
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
            ValueError: It is none of them.
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
        """Return the sums by the name of VMAs, the most resident first."""
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
