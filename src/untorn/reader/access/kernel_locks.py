"""Which lock the running kernel takes to show a map, and how we know.

The release decides. If the kernel shows its symbols, the function that came with the per-VMA walk
overrules it for maps: a kernel may have a backport, or be built without the locks.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.releases.changes import MAPS_PER_VMA, QUERY_PER_VMA, SMAPS_PER_VMA
from untorn.releases.release import Release, running_release

PER_VMA_SINCE = {
    "maps": MAPS_PER_VMA,
    "PROCMAP_QUERY": QUERY_PER_VMA,
    "smaps": SMAPS_PER_VMA,
}
"""By file (and the ioctl on maps), the change since which one VMA is locked at a time."""
SYMBOL = "lock_next_vma"
"""A function of the per-VMA walk. Source: mm/mmap_lock.c."""
SYMBOL_FILES = (
    Path("/proc/kallsyms"),
    Path("/sys/kernel/tracing/available_filter_functions"),
    Path("/sys/kernel/debug/tracing/available_filter_functions"),
)
_ANCHOR = "do_mmap"  # every kernel has it: a list without it is truncated, or hides it


class SymbolEvidence(NamedTuple):
    """Whether the kernel has SYMBOL, and the file that says so."""

    present: bool
    file: Path


class Locking(NamedTuple):
    """How the kernel keeps a map still while it shows it."""

    file: str
    """maps, smaps, or PROCMAP_QUERY."""
    lock: str
    """mmap_lock, per-VMA, or absent if this file or ioctl does not exist here."""
    evidence: str


def probe_locking() -> list[Locking]:
    """Determine how this kernel locks for each file of PER_VMA_SINCE."""
    release, symbol = running_release(), find_symbol()
    with LiveMapsFile(os.getpid()) as maps:
        absent = {"PROCMAP_QUERY": maps.find_query_refusal()}
    if not Path("/proc/self/smaps").exists():
        absent["smaps"] = "this kernel has none"
    return [
        Locking(file, "absent", f"tried on this process: {absent[file]}")
        if absent.get(file)
        else decide(file, release, symbol)
        for file in PER_VMA_SINCE
    ]


def takes_mmap_lock(file: str) -> bool:
    """Return, from the release alone, whether a file of PER_VMA_SINCE takes mmap_lock here.

    It is fast, and may be wrong for a kernel built without per-VMA locks or with a backport: a
    reader then reads more gently than needed, or not gently at all.
    """
    return decide(file, running_release(), None).lock == "mmap_lock"


def decide(file: str, release: Release, symbol: SymbolEvidence | None) -> Locking:
    """Return which lock a kernel of that release takes for a file, with or without the symbol."""
    if symbol and not symbol.present:
        return Locking(file, "mmap_lock", f"no {SYMBOL} in {symbol.file}")
    if symbol and file == "maps":
        return Locking(file, "per-VMA", f"{SYMBOL} in {symbol.file}")
    since = PER_VMA_SINCE[file]
    lock = "per-VMA" if release.has(since) else "mmap_lock"
    return Locking(file, lock, f"release {release}; per-VMA since {since.since}")


def find_symbol(files: tuple[Path, ...] = SYMBOL_FILES) -> SymbolEvidence | None:
    """Look for SYMBOL in the kernel's lists of symbols; None if none of them can be trusted."""
    for file in files:
        try:
            symbols = file.read_bytes()
        except OSError:
            continue
        if _lists(symbols, _ANCHOR):
            return SymbolEvidence(_lists(symbols, SYMBOL), file)
    return None


def _lists(symbols: bytes, name: str) -> bool:
    return re.search(rb"(?m)^(?:\S+ \S )?" + name.encode() + rb"$", symbols) is not None
