"""Figures by what was counted, and by what smaps tells."""

import numpy as np

from untorn.reader.memory.facts import Backing, Facts
from untorn.reader.memory.figure import Figure
from untorn.reader.memory.sample import Estimate
from untorn.reader.memory.smaps_fields import Masked
from untorn.reader.memory.smaps_text import SmapsText
from untorn.reader.memory.tally import PSS_SHIFT, Quantity, Reals
from untorn.reader.text.columns import Columns, Numbers

Figures = dict[str, Figure]
_PLAIN = "private", "shared", "anonymous", "huge", "ksm", "guard"
_QUANTITIES = {
    **{name: Quantity[name.upper()] for name in (*_PLAIN, "rss", "pss", "swap")},
    "hugetlb": Quantity.RSS,
    "swap_pss": Quantity.SWAP,
    "locked": Quantity.PSS,
}
"""How uncertain each is: as that."""

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
}
"""What is the sum of which fields of smaps."""
_NEWER = {"ShmemPmdMapped", "FilePmdMapped"}
"""Fields that a kernel has not that has no such pages either (before Linux 5.4)."""


def figures_of_smaps(smaps: SmapsText) -> Figures:
    """Return what smaps tells. A field that no record has is absent."""
    columns = smaps.columns
    size = columns.end - columns.start
    rollup = columns.names == (b"[rollup]",)
    figures = {} if rollup else {"size": Figure.exact(size)}
    for name, fields in SUMS.items():
        parts = [smaps.fields[field] for field in fields if field in smaps.fields]
        if len(parts) + len(_NEWER.difference(smaps.fields).intersection(fields)) == len(fields):
            figure = _sum(parts, None if rollup else size)
            figures |= {name: figure} if figure else {}
    return figures


def _sum(parts: list[Masked], most: Numbers | None) -> Figure | None:
    """Return a sum; where a part is missing it is at most the size of the VMA."""
    total = np.ma.stack(parts).filled(0).sum(axis=0)
    missing = np.any([np.ma.getmaskarray(part) for part in parts], axis=0)
    if not missing.any():
        return Figure.exact(total)
    return None if most is None else Figure.between(total, np.where(missing, most, total))


def figures_of_counts(columns: Columns, found: Estimate, facts: Facts, backing: Backing) -> Figures:
    """Return what was counted of VMAs, with bounds where page tables do not tell all."""
    size = columns.end - columns.start
    of_hugetlb = backing.hugetlb[:, np.newaxis]
    plain = found._replace(counts=np.where(of_hugetlb, 0, found.counts))
    hugetlb = found._replace(counts=np.where(of_hugetlb, found.counts, 0))
    rss, pss, swapped = (_figure(plain, name) for name in ("RSS", "PSS", "SWAP"))
    high = np.maximum(swapped.low, np.minimum(swapped.high, np.uint64(facts.swapped)))
    slack = np.minimum(size - np.minimum(rss.low, size), np.uint64(facts.swap)) * backing.swappable
    swap = Figure.between(swapped.low, high + slack)
    nothing = np.zeros_like(size)
    locked = np.minimum(pss.high, np.uint64(facts.locked))
    figures = {
        "size": Figure.exact(size),
        "rss": rss,
        "pss": pss,
        **{name: _figure(plain, name.upper()) for name in _PLAIN},
        "swap": swap,
        "swap_pss": Figure.between(nothing, swap.high),
        "locked": Figure.between(nothing, locked),
        "hugetlb": _figure(hugetlb, "RSS"),
    }
    resident = np.minimum(size, np.uint64(facts.resident))
    most = dict.fromkeys((*_PLAIN, "rss", "pss", "locked"), resident) | {"guard": size}
    return {
        name: figure.estimated(_variance(found, name), most.get(name, size))
        for name, figure in figures.items()
    }


def _variance(found: Estimate, name: str) -> Reals:
    """Return the variance of a quantity, in bytes squared."""
    quantity = _QUANTITIES.get(name)
    if quantity is None:
        return np.zeros(len(found.variance))
    variance: Reals = found.variance[:, quantity] / 4 ** _shift(quantity)
    return variance


def _figure(found: Estimate, name: str) -> Figure:
    """Return a quantity in bytes; a part of a byte is dropped, as the kernel drops one of a kB."""
    quantity, slack = Quantity[name], Quantity.__members__.get(f"{name}_SLACK")
    low = found.counts[:, quantity]
    high = low if slack is None else low + found.counts[:, slack]
    return Figure.between(low >> _shift(quantity), high >> _shift(quantity))


def _shift(quantity: Quantity) -> int:
    return PSS_SHIFT if quantity is Quantity.PSS else 0
