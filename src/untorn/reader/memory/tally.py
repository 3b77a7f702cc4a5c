"""Count entries of pagemap: how many pages of which kind.

A present page counts once in rss, and in pss as the share of one of its mappings; it is anonymous
if it is not a file's. The zero page does not count. What the kernel does not tell, for lack of the
right to see page frames, is slack: the figure is at least the count, and at most the count plus its
slack.

A page of a file is clean if the kernel knows of no write to it; an anonymous page never is. What
smaps knows beyond that is only in page tables: that a page of shared memory was written after it
was mapped for reading, or that an anonymous page was not written since MADV_FREE, or since it came
back from swap.

Compare fs/proc/task_mmu.c:smaps_account(), smaps_page_accumulate(), pte_to_pagemap_entry().
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.maps.pagemap import (
    KPF_ANON,
    KPF_DIRTY,
    KPF_KSM,
    KPF_SWAPBACKED,
    KPF_ZERO_PAGE,
    PM_FILE,
    PM_GUARD_REGION,
    PM_MMAP_EXCLUSIVE,
    PM_PFRAME_MASK,
    PM_PRESENT,
    PM_SWAP,
    PM_UFFD_WP,
)
from untorn.reader.memory.page_frames import PageFrames
from untorn.reader.memory.quantity import PSS_SHIFT, SHARES, Counts, Entries, Quantity
from untorn.reader.text.hex_field import Truths

Places = npt.NDArray[np.intp]

_ALL_OF_IT = PAGE_SIZE << PSS_SHIFT
"""The share of a page that is mapped once."""
_SWAP_TYPE, _SWAP_TYPE_BITS, _SWAP_TYPES, _MARKER = np.uint64(0x1F), np.uint64(5), 23, 31
"""The entry of an absent page: its type, below its frame; the number of the first types, which are
swap areas; and the type of a marker. The types between are pages under migration, in device
memory, or poisoned. Source: include/linux/swap.h, include/linux/swapops.h."""


class _Class(IntEnum):
    """What a page is, from its entry alone."""

    NONE = 0
    EXCLUSIVE = 1
    """Anonymous, mapped once."""
    EXCLUSIVE_FILE = 2
    SHARED_FILE = 3
    """Mapped more than once."""
    ANON_OR_SPECIAL = 4
    """Anonymous and mapped more than once; or the zero page or a device's, which do not count."""
    SWAPPED = 5
    SWAP_OR_MARKER = 6
    """Swapped; or a marker of userfaultfd, which is not a page."""
    GUARD = 7
    SHARED_ANON = 8
    """ANON_OR_SPECIAL if nothing is special."""
    HUGE_ANON = 9
    """In a huge page, whose entry does not say which of its pages are shared: see slices.py."""
    HUGE_FILE = 10
    HUGE_ANON_OR_ZERO = 11
    HUGE_FILE_OR_ZERO = 12
    """The huge zero page looks like a file's page."""


def _kinds(entries: Entries) -> Places:
    """Return the bits above the frame of each entry."""
    return (entries >> np.uint64(_KIND_SHIFT)).astype(np.intp)


def _class(entry: int) -> _Class:
    if entry & PM_PRESENT:
        own = entry & PM_MMAP_EXCLUSIVE
        if entry & PM_FILE:
            return _Class.EXCLUSIVE_FILE if own else _Class.SHARED_FILE
        return _Class.EXCLUSIVE if own else _Class.ANON_OR_SPECIAL
    if entry & PM_GUARD_REGION:
        return _Class.GUARD
    if entry & PM_SWAP:
        return _Class.SWAP_OR_MARKER if entry & PM_UFFD_WP else _Class.SWAPPED
    return _Class.NONE


_OF_FILE_SLACKS = Quantity.PSS_CLEAN_SLACK, Quantity.PSS_FILE_SLACK, Quantity.PSS_SHMEM_SLACK


def _weights() -> Counts:
    """Return what a page of each class counts."""
    weights = np.zeros((len(_Class), len(Quantity)), np.int64)
    pages = {
        _Class.EXCLUSIVE: (Quantity.RSS, Quantity.PRIVATE, Quantity.ANONYMOUS, Quantity.PSS),
        _Class.EXCLUSIVE_FILE: (
            *(Quantity.RSS, Quantity.PRIVATE, Quantity.PSS),
            *(Quantity.PRIVATE_CLEAN_SLACK, *_OF_FILE_SLACKS),
        ),
        _Class.SHARED_FILE: (
            *(Quantity.RSS, Quantity.SHARED, Quantity.PSS_SLACK),
            *(Quantity.SHARED_CLEAN_SLACK, *_OF_FILE_SLACKS),
        ),
        _Class.ANON_OR_SPECIAL: (
            *(Quantity.RSS_SLACK, Quantity.SHARED_SLACK, Quantity.PSS_SLACK),
            *(Quantity.ANONYMOUS_SLACK, Quantity.KSM_SLACK),
        ),
        _Class.SWAPPED: (Quantity.SWAP,),
        _Class.SWAP_OR_MARKER: (Quantity.SWAP_SLACK,),
        _Class.GUARD: (Quantity.GUARD,),
        _Class.SHARED_ANON: (
            *(Quantity.RSS, Quantity.SHARED, Quantity.ANONYMOUS, Quantity.PSS_SLACK),
            Quantity.KSM_SLACK,
        ),
        _Class.HUGE_ANON: (
            *(Quantity.RSS, Quantity.ANONYMOUS),
            *(Quantity.PRIVATE_SLACK, Quantity.SHARED_SLACK, Quantity.PSS_SLACK),
        ),
        _Class.HUGE_FILE: (
            *(Quantity.RSS, Quantity.PRIVATE_SLACK, Quantity.SHARED_SLACK, Quantity.PSS_SLACK),
            *(Quantity.PRIVATE_CLEAN_SLACK, Quantity.SHARED_CLEAN_SLACK, *_OF_FILE_SLACKS),
        ),
        _Class.HUGE_ANON_OR_ZERO: (
            *(Quantity.RSS_SLACK, Quantity.ANONYMOUS_SLACK),
            *(Quantity.PRIVATE_SLACK, Quantity.SHARED_SLACK, Quantity.PSS_SLACK),
        ),
        _Class.HUGE_FILE_OR_ZERO: (
            *(Quantity.RSS_SLACK, Quantity.PRIVATE_SLACK),
            *(Quantity.SHARED_SLACK, Quantity.PSS_SLACK),
            *(Quantity.PRIVATE_CLEAN_SLACK, Quantity.SHARED_CLEAN_SLACK, *_OF_FILE_SLACKS),
        ),
    }
    for class_, quantities in pages.items():
        weights[class_, list(quantities)] = PAGE_SIZE
    weights[:, SHARES] <<= PSS_SHIFT
    return weights


_KIND_SHIFT = PM_PFRAME_MASK.bit_length()
_CLASSES = np.array([_class(kind << _KIND_SHIFT) for kind in range(1 << 64 - _KIND_SHIFT)], np.intp)
"""Class by the bits above the frame."""
_WEIGHTS = _weights()
_UNSURE_CLASSES = np.select(
    [
        np.isin(_CLASSES, (_Class.EXCLUSIVE, _Class.ANON_OR_SPECIAL)),
        np.isin(_CLASSES, (_Class.EXCLUSIVE_FILE, _Class.SHARED_FILE)),
    ],
    [_Class.HUGE_ANON, _Class.HUGE_FILE],
    _CLASSES,
)
_UNTOLD_CLASSES = np.select(
    [_CLASSES == _Class.ANON_OR_SPECIAL, _CLASSES == _Class.SHARED_FILE],
    [_Class.HUGE_ANON_OR_ZERO, _Class.HUGE_FILE_OR_ZERO],
    _UNSURE_CLASSES,
)
_BY_FRAME = np.isin(
    range(len(_Class)),
    (
        *(_Class.EXCLUSIVE_FILE, _Class.SHARED_FILE, _Class.ANON_OR_SPECIAL),
        *(_Class.SWAPPED, _Class.SWAP_OR_MARKER),
        *(_Class.HUGE_ANON, _Class.HUGE_FILE, _Class.HUGE_ANON_OR_ZERO, _Class.HUGE_FILE_OR_ZERO),
    ),
)
"""Classes for which the page frame, or what replaces it, says more."""
_OF_FILES = (
    *(_Class.EXCLUSIVE_FILE, _Class.SHARED_FILE),
    *(_Class.HUGE_FILE, _Class.HUGE_FILE_OR_ZERO),
)


class Tally:
    """Counts entries.

    Args:
        frames: Looks up page frames; None if we may not see them.
        ksm: Whether pages of this process may be merged with equal ones: then we also ask about
            those that are mapped once.
        no_special: Whether no entry is of the zero page or of a device.
    """

    huge_exclusive = (PMD_SIZE // PAGE_SIZE) * _WEIGHTS[_Class.EXCLUSIVE]
    """What a huge anonymous page counts that only this process has."""

    def __init__(self, frames: PageFrames | None, *, ksm: bool, no_special: bool) -> None:
        self.frames = frames
        self._ksm = ksm
        self._by_frame = _BY_FRAME & (frames is not None)
        self._by_frame[_Class.EXCLUSIVE] = ksm
        self._weights = _WEIGHTS.copy()
        if not ksm:
            self._weights[:, Quantity.KSM_SLACK] = 0
        if frames is None:  # it may also be a marker: of poison, or of a guard before Linux 6.15
            self._weights[_Class.SWAPPED] = _WEIGHTS[_Class.SWAP_OR_MARKER]
        self._classes = _CLASSES.copy()
        if no_special:
            self._classes[_CLASSES == _Class.ANON_OR_SPECIAL] = _Class.SHARED_ANON

    def count(self, entries: Entries, pieces: Places, number: int) -> Counts:
        """Return the counts of each piece's entries.

        Args:
            entries: As read.
            pieces: The piece of each entry, from 0; -1 for an entry that must not count.
            number: How many pieces there are.
        """
        return self._count(entries, self._classes[_kinds(entries)], pieces, number)

    def count_alike(self, entries: Entries) -> npt.NDArray[np.int64] | None:
        """Return the counts of entries of one kind: the quick way for most of memory.

        None if they differ in kind, or if their frames must be looked up.
        """
        if int(np.bitwise_or.reduce(entries ^ entries[0])) >> _KIND_SHIFT:
            return None
        class_ = self._classes[int(entries[0]) >> _KIND_SHIFT]
        if self._by_frame[class_]:
            return None
        counted: npt.NDArray[np.int64] = len(entries) * self._weights[class_]
        return counted

    def count_unsure(self, entries: Entries, *, zeros: bool) -> npt.NDArray[np.int64]:
        """Return the counts of entries that do not say how often their pages are mapped.

        Args:
            entries: As read.
            zeros: Whether zero pages may be among them.
        """
        by_kind = _UNTOLD_CLASSES if zeros else _UNSURE_CLASSES
        classes, pieces = by_kind[_kinds(entries)], np.zeros(len(entries), np.intp)
        counted: npt.NDArray[np.int64] = self._count(entries, classes, pieces, 1)[0]
        return counted

    def _count(self, entries: Entries, classes: Places, pieces: Places, number: int) -> Counts:
        more = np.zeros((number, len(Quantity)), np.int64)
        if self.frames is not None:
            places = np.flatnonzero(self._by_frame[classes] & (pieces >= 0))
            if len(places):
                self._ask(self.frames, entries[places], classes[places], pieces[places], more)
                classes[places] = _Class.NONE
        elif self._ksm:
            own = pieces[(pieces >= 0) & (classes == _Class.EXCLUSIVE)]
            more[:, Quantity.KSM_SLACK] = PAGE_SIZE * np.bincount(own, minlength=number)
        return more + self._sum(classes, pieces, number)

    def _sum(self, classes: Places, pieces: Places, number: int) -> Counts:
        """Sum the counts of pages by class."""
        columns = len(_Class)
        places = (pieces + 1) * columns + classes  # piece -1 comes first
        histogram = np.bincount(places, minlength=(number + 1) * columns)
        counts: Counts = histogram.reshape(-1, columns)[1:] @ self._weights
        return counts

    def _ask(
        self,
        frames: PageFrames,
        entries: Entries,
        classes: Places,
        pieces: Places,
        counts: Counts,
    ) -> None:
        """Add the counts of these pages by their frames."""
        swapped = (classes == _Class.SWAPPED) | (classes == _Class.SWAP_OR_MARKER)
        types = entries & _SWAP_TYPE
        np.add.at(counts[:, Quantity.SWAP], pieces[swapped & (types < _SWAP_TYPES)], PAGE_SIZE)
        moving = swapped & (types >= _SWAP_TYPES) & (types != _MARKER)
        if moving.any():
            self._ask_moving(frames, entries[moving], pieces[moving], counts)
        here = ~swapped
        if here.any():
            pfns = entries[here] & np.uint64(PM_PFRAME_MASK)
            self._ask_present(frames, pfns, classes[here], pieces[here], counts)

    def _ask_moving(
        self, frames: PageFrames, entries: Entries, pieces: Places, counts: Counts
    ) -> None:
        """Add pages under migration. How often they are mapped is unknown: they may be shared."""
        pages = _Pages(
            pieces,
            flags=frames.flags((entries & np.uint64(PM_PFRAME_MASK)) >> _SWAP_TYPE_BITS),
            of_file=entries & np.uint64(PM_FILE) != 0,
            private=np.zeros(len(entries), np.bool_),
            shares=np.full(len(entries), _ALL_OF_IT),
        )
        pages.add_to(counts)

    def _ask_present(
        self,
        frames: PageFrames,
        pfns: Entries,
        classes: Places,
        pieces: Places,
        counts: Counts,
    ) -> None:
        """Add pages that are present. If a page's mappings are gone by now, it had one."""
        of_file, flags = np.isin(classes, _OF_FILES), frames.flags(pfns)
        mappings = np.ones(len(pfns), np.int64)
        asked = classes != _Class.EXCLUSIVE_FILE
        mappings[asked] = np.maximum(frames.counts(pfns[asked]), np.uint64(1))
        anonymous, zero = (flags & np.uint64(bit) != 0 for bit in (KPF_ANON, KPF_ZERO_PAGE))
        counted = np.where(of_file, ~zero, anonymous)
        pages = _Pages(
            pieces[counted],
            flags[counted],
            of_file[counted],
            private=mappings[counted] == 1,
            shares=_ALL_OF_IT // mappings[counted],
        )
        pages.add_to(counts)


class _Pages(NamedTuple):
    """Pages about which everything is known, as columns."""

    pieces: Places
    flags: Entries
    """KPF_* bits."""
    of_file: Truths
    private: Truths
    """Whether each is mapped only once."""
    shares: Counts
    """What each counts in pss."""

    def add_to(self, counts: Counts) -> None:
        """Add the counts of these pages."""
        clean = self.of_file & (self.flags & np.uint64(KPF_DIRTY) == 0)
        in_memory = self.of_file & (self.flags & np.uint64(KPF_SWAPBACKED) != 0)
        for quantity, which in (
            (Quantity.RSS, np.ones(len(self.pieces), np.bool_)),
            (Quantity.PRIVATE, self.private),
            (Quantity.SHARED, ~self.private),
            (Quantity.ANONYMOUS, ~self.of_file),
            (Quantity.KSM, self.flags & np.uint64(KPF_KSM) != 0),
            (Quantity.PRIVATE_CLEAN, clean & self.private),
            (Quantity.SHARED_CLEAN, clean & ~self.private),
        ):
            pages = np.bincount(self.pieces[which], minlength=len(counts))
            counts[:, quantity] += PAGE_SIZE * pages
        for quantity, which in (
            (Quantity.PSS, np.ones(len(self.pieces), np.bool_)),
            (Quantity.PSS_CLEAN, clean),
            (Quantity.PSS_SHMEM, in_memory),
            (Quantity.PSS_FILE, self.of_file & ~in_memory),
        ):
            np.add.at(counts[:, quantity], self.pieces[which], self.shares[which])
