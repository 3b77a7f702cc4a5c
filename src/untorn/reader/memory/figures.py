"""Figures from counts of pages, and from smaps."""

import numpy as np

from untorn.maps.entry import ROLLUP_NAME
from untorn.reader.memory.facts import Backing, Facts
from untorn.reader.memory.figure import Figure
from untorn.reader.memory.quantity import PSS_SHIFT, SHARES, Counts, Quantity, Reals
from untorn.reader.memory.sample import Estimate
from untorn.reader.memory.smaps_fields import Masked
from untorn.reader.memory.smaps_text import SmapsText
from untorn.reader.text.columns import Columns, Numbers

Figures = dict[str, Figure]
_COUNTED: dict[str, tuple[str, ...]] = {
    **{
        name: (name.upper(),)
        for name in (
            *("rss", "pss", "private", "shared", "anonymous", "huge", "ksm", "guard"),
            *("private_clean", "shared_clean", "pss_file", "pss_shmem", "huge_anon", "huge_shmem"),
        )
    },
    "private_dirty": ("PRIVATE", "PRIVATE_CLEAN"),
    "shared_dirty": ("SHARED", "SHARED_CLEAN"),
    "pss_dirty": ("PSS", "PSS_CLEAN"),
    "pss_anon": ("PSS", "PSS_FILE", "PSS_SHMEM"),
    "huge_file": ("HUGE", "HUGE_ANON", "HUGE_SHMEM"),
}
"""By figure: the quantity that is counted, and others to subtract from it."""
_UNCERTAIN_AS = _COUNTED | {
    "swap": ("SWAP",),
    "swap_pss": ("SWAP",),
    "locked": ("PSS",),
    "hugetlb": ("RSS",),
    "private_hugetlb": ("RSS",),
    "shared_hugetlb": ("RSS",),
}
"""The quantities whose variances give the uncertainty of each figure."""

SUMS = {
    "rss": ("Rss",),
    "pss": ("Pss",),
    "private": ("Private_Clean", "Private_Dirty"),
    "shared": ("Shared_Clean", "Shared_Dirty"),
    "anonymous": ("Anonymous",),
    "swap": ("Swap",),
    "swap_pss": ("SwapPss",),
    "locked": ("Locked",),
    "huge": ("AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"),
    "hugetlb": ("Shared_Hugetlb", "Private_Hugetlb"),
    "ksm": ("KSM",),
    "private_clean": ("Private_Clean",),
    "private_dirty": ("Private_Dirty",),
    "shared_clean": ("Shared_Clean",),
    "shared_dirty": ("Shared_Dirty",),
    "pss_dirty": ("Pss_Dirty",),
    "pss_anon": ("Pss_Anon",),
    "pss_file": ("Pss_File",),
    "pss_shmem": ("Pss_Shmem",),
    "huge_anon": ("AnonHugePages",),
    "huge_shmem": ("ShmemPmdMapped",),
    "huge_file": ("FilePmdMapped",),
    "private_hugetlb": ("Private_Hugetlb",),
    "shared_hugetlb": ("Shared_Hugetlb",),
    "page_size": ("KernelPageSize",),
}
"""By figure, the fields of smaps whose sum it is."""
_NEWER = {"ShmemPmdMapped", "FilePmdMapped"}
"""Fields that a kernel lacks if it has no such pages (before Linux 5.4)."""


def figures_of_smaps(smaps: SmapsText) -> Figures:
    """Return the figures in smaps. A field that no record has is absent."""
    columns = smaps.columns
    size = columns.end - columns.start
    rollup = columns.names == (ROLLUP_NAME,)
    figures = {} if rollup else {"size": Figure.exact(size)}
    for name, fields in SUMS.items():
        parts = [smaps.fields[field] for field in fields if field in smaps.fields]
        if parts and _NEWER.issuperset(set(fields) - smaps.fields.keys()):
            figure = _sum(parts, None if rollup else size)
            figures |= {name: figure} if figure else {}
    return figures


def _sum(parts: list[Masked], most: Numbers | None) -> Figure | None:
    """Return a sum; if a part is missing, its upper bound is the size of the VMA."""
    total = np.sum([part.filled(0) for part in parts], axis=0)
    missing = np.any([np.ma.getmaskarray(part) for part in parts], axis=0)
    if not missing.any():
        return Figure.exact(total)
    return None if most is None else Figure.between(total, np.where(missing, most, total))


def figures_of_counts(columns: Columns, found: Estimate, facts: Facts, backing: Backing) -> Figures:
    """Return the figures counted for VMAs, with bounds where page tables do not tell all."""
    size = columns.end - columns.start
    of_hugetlb = backing.hugetlb[:, np.newaxis]
    plain = np.where(of_hugetlb, 0, found.counts)
    hugetlb = _figure(np.where(of_hugetlb, found.counts, 0), "RSS")
    counted = {name: _figure(plain, *parts) for name, parts in _COUNTED.items()}
    rss, pss, swapped = counted["rss"], counted["pss"], _figure(plain, "SWAP")
    high = np.maximum(swapped.low, np.minimum(swapped.high, np.uint64(facts.swapped)))
    slack = np.minimum(size - np.minimum(rss.low, size), np.uint64(facts.swap)) * backing.swappable
    swap = Figure.between(swapped.low, high + slack)
    nothing = np.zeros_like(size)
    figures = {
        "size": Figure.exact(size),
        "page_size": Figure.exact(backing.page_size),
        **counted,
        "swap": swap,
        "swap_pss": Figure.between(nothing, swap.high),
        "locked": Figure.between(nothing, np.minimum(pss.high, np.uint64(facts.locked))),
        "hugetlb": hugetlb,
        "private_hugetlb": Figure.between(nothing, hugetlb.high),
        "shared_hugetlb": Figure.between(nothing, hugetlb.high),
    }
    resident = np.minimum(size, np.uint64(facts.resident))
    most = dict.fromkeys((*_COUNTED, "locked"), resident) | {"guard": size}
    return {
        name: figure.estimated(_variance(found, name), most.get(name, size))
        for name, figure in figures.items()
    }


def _variance(found: Estimate, name: str) -> Reals:
    """Return the variance of a quantity in bytes squared; for a difference, its upper bound."""
    deviation: Reals = np.zeros(len(found.variance))
    for part in _UNCERTAIN_AS.get(name, ()):
        quantity = Quantity[part]
        deviation += np.sqrt(found.variance[:, quantity]) / 2 ** _shift(quantity)
    return deviation**2


def _figure(counts: Counts, name: str, *others: str) -> Figure:
    """Return a quantity minus some others, in bytes.

    A fraction of a byte is dropped, as the kernel drops a fraction of a kB.
    """
    low, high = _bounds(counts, name)
    for other in others:
        least, most = _bounds(counts, other)
        low, high = low - most, high - least
    shift = _shift(Quantity[name])
    return Figure.between(np.maximum(low, 0) >> shift, high >> shift)


def _bounds(counts: Counts, name: str) -> tuple[Counts, Counts]:
    low, slack = counts[:, Quantity[name]], Quantity.__members__.get(f"{name}_SLACK")
    return low, low if slack is None else low + counts[:, slack]


def _shift(quantity: Quantity) -> int:
    return PSS_SHIFT if quantity in SHARES else 0
