"""Advice about every kind of memory: the same errno, and the same smaps, as the kernel's."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.oracle.diagrams import lay
from tests.oracle.errno_of_mmap import P
from tests.oracle.kernel_process import KernelProcess
from tests.oracle.rows import Files, Row, files_in, row
from tests.oracle.smaps_pair import Opens, Pair
from tests.oracle.worlds import RW, World, answer
from untorn.maps.page import ULONG_MAX
from untorn.mm.mman import (
    MADV_COLD,
    MADV_COLLAPSE,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
    MADV_NORMAL,
    MADV_PAGEOUT,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_REMOVE,
    MADV_WILLNEED,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_READ,
)

OF_PAGES = {
    "WILLNEED": MADV_WILLNEED,
    "DONTNEED": MADV_DONTNEED,
    "FREE": MADV_FREE,
    "REMOVE": MADV_REMOVE,
    "COLD": MADV_COLD,
    "PAGEOUT": MADV_PAGEOUT,
    "POPULATE_READ": MADV_POPULATE_READ,
    "POPULATE_WRITE": MADV_POPULATE_WRITE,
    "DONTNEED_LOCKED": MADV_DONTNEED_LOCKED,
    "COLLAPSE": MADV_COLLAPSE,
    "GUARD_INSTALL": MADV_GUARD_INSTALL,
    "GUARD_REMOVE": MADV_GUARD_REMOVE,
}
HARMFUL = 100, 101
"""MADV_HWPOISON, MADV_SOFT_OFFLINE: where they are known they take memory from the machine."""
NUMBERS = [n for n in (*range(30), *range(98, 110), -1, 1 << 31) if n not in HARMFUL]

Layout = Callable[[World, list[int]], object]
OF_A_FILE = {
    "private file": (0, RW, MAP_PRIVATE),
    "private file, read": (2, PROT_READ, MAP_PRIVATE),
    "shared file": (0, RW, MAP_SHARED),
    "shared file, read": (0, PROT_READ, MAP_SHARED),
    "shared file, not writable": (2, PROT_READ, MAP_SHARED),
}
DRAWN = (
    *("WWW", "RRR", "NNN", "VVV", "XXX", "LLL", "DDD", "GGG", "SSS", "sss"),
    *("W.W", ".W.", "WRL", "WsR", "WNR", "LWW"),
)


def layout(name: str) -> Layout:
    if name not in OF_A_FILE:
        return lambda world, fds: lay(world, name)
    number, prot, flags = OF_A_FILE[name]
    return lambda world, fds: world.mmap(world.page(0), 3 * P, prot, flags | MAP_FIXED, fds[number])


@pytest.mark.live
@pytest.mark.parametrize("advice", OF_PAGES.values(), ids=OF_PAGES.keys())
@pytest.mark.parametrize("touched", [False, True], ids=["untouched", "touched"])
def test_advice_about_pages(
    touched: bool, advice: int, pinned_child: KernelProcess, memory_files: Opens
) -> None:
    first, pages = (0, 3) if touched else (1, 1)
    for name in (*DRAWN, *OF_A_FILE):
        with Pair(pinned_child, memory_files) as pair:
            answers = []
            for world, fds in pair.worlds:
                layout(name)(world, fds)
                if touched:
                    answer(world.touch, world.page(0), write=True)
                    answer(world.touch, world.page(1), write=False)
                answers.append(answer(world.madvise, world.page(first), pages * P, advice))
            assert answers[0] == answers[1], name
            engine, kernel = pair.smaps()
            assert engine == kernel, name


@pytest.mark.live
@pytest.mark.parametrize("name", ["", "WWW", "SSS", "sss", "DDD", "private file"])
def test_which_numbers_are_advice(
    name: str, pinned_child: KernelProcess, memory_files: Opens
) -> None:
    with Pair(pinned_child, memory_files) as pair:
        for world, fds in pair.worlds:
            layout(name)(world, fds)
        for number in NUMBERS:
            for length in (0, P):
                engine, kernel = (
                    answer(world.madvise, world.page(1), length, number) for world, _ in pair.worlds
                )
                assert engine == kernel, f"advice {number} about {length} bytes"


ROWS = [
    row(errno.EINVAL, "not aligned", "W", page=0, addr=1, length=P, advice=MADV_NORMAL),
    row(errno.EINVAL, "not aligned, length 0", "W", page=0, addr=1, length=0, advice=MADV_NORMAL),
    row(errno.EINVAL, "length rounds to 0", "W", page=0, length=ULONG_MAX, advice=MADV_NORMAL),
    row(errno.EINVAL, "wraps", "W", page=0, length=-2 * P & ULONG_MAX, advice=MADV_NORMAL),
    row(errno.EINVAL, "unknown, length 0", "W", page=0, length=0, advice=99),
    row(0, "length 0 of nothing", page=0, length=0, advice=MADV_GUARD_INSTALL),
    row(0, "length rounds up", "WW", page=0, length=P + 1, advice=MADV_GUARD_INSTALL),
    row(errno.ENOMEM, "nothing mapped", page=0, length=P, advice=MADV_COLD),
    row(errno.ENOMEM, "hole first", ".W", page=0, length=2 * P, advice=MADV_GUARD_INSTALL),
    row(errno.ENOMEM, "populate a hole", "W.", page=0, length=2 * P, advice=MADV_POPULATE_READ),
    row(errno.EINVAL, "read what cannot be", "WN", page=0, length=2 * P, advice=MADV_POPULATE_READ),
    row(
        errno.EINVAL, "write what cannot be", "WR", page=0, length=2 * P, advice=MADV_POPULATE_WRITE
    ),
    row(errno.EINVAL, "read what is write-only", "V", page=0, length=P, advice=MADV_POPULATE_READ),
]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return files_in(tmp_path)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_madvise_gives(row: Row, world: World, files: Files) -> None:
    assert row.outcome("madvise", world, files) == row.number


@pytest.mark.parametrize("advice", [MADV_DONTNEED, MADV_FREE, MADV_GUARD_INSTALL])
def test_what_is_sealed_and_read_only_is_not_discarded(world: World, advice: int) -> None:
    world.put(0, 2, PROT_READ)
    world.mseal(world.page(0), 2 * P)
    assert answer(world.madvise, world.page(0), P, advice) == errno.EPERM
