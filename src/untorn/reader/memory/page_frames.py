"""What the kernel says of page frames: how often each is mapped, and its flags.

These files take no lock of a process. They cost more per page than a walk does, so we ask only
about pages that may be shared.

Source: Documentation/admin-guide/mm/pagemap.rst; fs/proc/page.c.
"""

import ctypes
import os
from contextlib import suppress
from itertools import repeat
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from untorn.maps.page import PAGE_SIZE
from untorn.maps.pagemap import (
    ENTRY_SIZE,
    KPF_COMPOUND_TAIL,
    KPF_DIRTY,
    KPF_SWAPBACKED,
    PM_PFRAME_MASK,
)
from untorn.releases.changes import FLAGS_OF_TAILS
from untorn.releases.release import running_release

Frames = npt.NDArray[np.uint64]

_NEAR = 6
"""Frames; it is quicker to read this many unwanted ones than to make another call."""
_MOST_SHIFT = 13
"""Frames that one call reads at most, as a power of 2."""


class PageFrames(Protocol):
    """Looks up page frames by their numbers."""

    def counts(self, frames: Frames) -> Frames:
        """Return how often each is mapped."""

    def flags(self, frames: Frames) -> Frames:
        """Return the KPF_* bits of each."""


class KernelPageFrames:
    """Open /proc/kpagecount and /proc/kpageflags of the running kernel.

    Args:
        counts: Descriptor; close() closes it.
        flags: The same.
        tails_lack: Flags of a compound page that only its first frame has.
    """

    def __init__(self, counts: int, flags: int, tails_lack: int) -> None:
        self._counts, self._flags = counts, flags
        self._tails_lack = np.uint64(tails_lack)

    @classmethod
    def open(cls) -> Self | None:
        """Open them; None if we may not see frames, which takes root."""
        if not _shows_frames():
            return None
        knows_tails = running_release().has(FLAGS_OF_TAILS)
        tails_lack = 0 if knows_tails else KPF_DIRTY | KPF_SWAPBACKED
        with suppress(OSError):
            counts = os.open("/proc/kpagecount", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return cls(
                    counts, os.open("/proc/kpageflags", os.O_RDONLY | os.O_CLOEXEC), tails_lack
                )
            except OSError:
                os.close(counts)
        return None

    def counts(self, frames: Frames) -> Frames:
        """Return how often each is mapped."""
        return _read(self._counts, frames)

    def flags(self, frames: Frames) -> Frames:
        """Return the KPF_* bits of each."""
        flags = _read(self._flags, frames)
        if self._tails_lack:
            flags |= self._flags_of_heads(frames, flags) & self._tails_lack
        return flags

    def _flags_of_heads(self, frames: Frames, flags: Frames) -> Frames:
        """Return the flags of the first frame of the compound page that each frame belongs to.

        The first frame's number is a multiple of the number of frames in the page. So it appears
        when the bits of another frame's number are cleared from the lowest on; numbers that appear
        before it belong to the same page. Frame 0 belongs to none.
        """
        heads = np.zeros_like(flags)
        places = np.flatnonzero(flags & np.uint64(KPF_COMPOUND_TAIL))
        frames = frames[places]
        while len(places):
            frames = frames & (frames - np.uint64(1))
            found = _read(self._flags, frames)
            heads[places] = found
            tails = found & np.uint64(KPF_COMPOUND_TAIL) != 0
            places, frames = places[tails], frames[tails]
        return heads

    def close(self) -> None:
        """Close them."""
        os.close(self._counts)
        os.close(self._flags)


def _shows_frames() -> bool:
    """Return whether pagemap shows us page frames, tried on a page of our own."""
    page = ctypes.create_string_buffer(1)
    try:
        fd = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        entry = os.pread(fd, ENTRY_SIZE, (ctypes.addressof(page) // PAGE_SIZE) * ENTRY_SIZE)
    finally:
        os.close(fd)
    return int.from_bytes(entry, "little") & PM_PFRAME_MASK != 0


def _read(fd: int, frames: Frames) -> Frames:
    """Return the number that a file has for each frame; 0 for a frame that does not exist.

    Frames that are near each other are read together, in runs.
    """
    if not len(frames):
        return np.zeros(0, np.uint64)
    wanted, places = np.unique(frames, return_inverse=True)
    begins = _run_begins(wanted)
    first = wanted[begins]
    sizes = (wanted[np.append(begins[1:], len(wanted)) - 1] - first + 1).astype(np.intp)
    bytes_of = (sizes * ENTRY_SIZE).tolist()
    texts = map(os.pread, repeat(fd), bytes_of, (first * ENTRY_SIZE).tolist())
    text = b"".join(map(bytes.ljust, texts, bytes_of, repeat(b"\0")))
    runs = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(wanted))))
    at = (np.cumsum(sizes) - sizes)[runs] + (wanted - first[runs]).astype(np.intp)
    numbers: Frames = np.frombuffer(text, np.uint64)[at][places.reshape(-1)]
    return numbers


def _run_begins(wanted: Frames) -> npt.NDArray[np.intp]:
    """Return where runs begin among ascending frames."""
    apart = np.diff(wanted) > _NEAR
    apart |= np.diff(wanted >> np.uint64(_MOST_SHIFT)) != 0  # no run is longer than one call reads
    begins: npt.NDArray[np.intp] = np.flatnonzero(np.concatenate(([True], apart)))
    return begins
