"""Where VMAs merge and where they split, drawn; each drawing holds for engine and kernel.

A drawing of what was there has one letter per page; one of what came out begins each VMA with its
letter and goes on with -. See diagrams.py. The numbers are those of the ten things that a writer
does to the tree: 1-5 merge an existing range, 6-8 a new one, 9-10 split.
"""

import os
from pathlib import Path

import pytest

from tests.oracle.diagrams import KINDS, drawn, lay
from tests.oracle.worlds import RW, EngineWorld, World
from untorn.conform.traced.open_file import file_system_at
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_GROWSDOWN,
    PROT_NONE,
    PROT_READ,
)

P = PAGE_SIZE
MERGES = """
    1  both sides, over what is there    WWRWW   mprotect 2 1 W   W----
    2  left, all of it                   WWRN    mprotect 2 1 W   W--N
    3  left, part of it                  WWRRR   mprotect 2 1 W   W--R-
    3  left, all but the last page       WRRR    mprotect 1 2 W   W--R
    4  right, all of it                  NRWW    mprotect 1 1 W   NW--
    5  right, part of it                 RRRWW   mprotect 2 1 W   R-W--
    5  right, all but the first page     RRRW    mprotect 1 2 W   RW--
    6  new, both sides                   WW.WW   mmap     2 1 W   W----
    6  new over another, both sides      WWRWW   mmap     2 1 W   W----
    6  new over parts, both sides        WWWRWWW mmap     1 5 W   W------
    7  new, left                         WW..    mmap     2 1 W   W--
    7  new, left, of three kinds         WW.R    mmap     2 1 W   W--R
    7  new over a part, left             WWRR    mmap     2 1 W   W--R
    8  new, right                        ..WW    mmap     1 1 W   .W--
    8  new, right, of three kinds        R.WW    mmap     1 1 W   RW--
    8  new over a part, right            RRWW    mmap     1 1 W   RW--
    9  the first page changes            WWW     mprotect 0 1 R   RW-
    9  the first page goes               WWW     munmap   0 1 .   .W-
    10 the last page changes             WWW     mprotect 2 1 R   W-R
    10 the last page goes                WWW     munmap   2 1 .   W-
    9+10 the middle changes              WWWW    mprotect 1 2 R   WR-W
    9+10 the middle goes                 WWWW    munmap   1 2 .   W..W
    9+10 the middle is replaced          WWWW    mmap     1 2 R   WR-W
    9+10 a new one like the old          WWWW    mmap     1 2 W   W---
    -  no neighbour alike                NRX     mprotect 1 1 W   NWX
    -  a change of two, each its own     WWRR    mprotect 1 2 X   WX-R
    -  a change that is none             WWRR    mprotect 0 2 W   W-R-
    -  all become one                    WRNX    mprotect 0 4 R   R---
    -  a range over holes goes           W.R.WW  munmap   0 5 .   .....W
    -  a hole between stays              WW..WW  mmap     2 1 W   W--.W-
    -  sealed and not, alike             SW      mprotect 1 1 W   WW
    -  a sealed one does not grow        S.W     mmap     1 1 W   WW-
    -  a stack does not grow so          G.      mmap     1 1 W   WW
    -  growth up to the next          W..W    mremap   0 3 W   W---
    -  growth, something in between   W.RW    mremap   0 2 W   W-RW
    -  stacks merge                      G.G     mmap     1 1 G   W--
"""
ACCOUNTED = """
    -  R made W joins what always was W  RW      mprotect 0 1 W   W-
    -  W made R joins what always was R  WR      mprotect 0 1 R   R-
    -  N made W joins what always was W  WN      mprotect 1 1 W   W-
    -  W and W of no reserve stay apart  WZ      mprotect 1 1 W   WW
    -  R and R of no reserve stay apart  RZ      mprotect 1 1 R   RR
    -  no reserve joins its own kind     Z.Z     mmap     1 1 Z   W--
"""


def cases(table: str) -> pytest.MarkDecorator:
    rows = []
    for line in table.strip().splitlines():
        *what, there, call, first, pages, kind, result = line.split()
        rows.append(
            pytest.param(there, call, int(first), int(pages), kind, result, id=" ".join(what))
        )
    return pytest.mark.parametrize(("there", "call", "first", "pages", "kind", "result"), rows)


@cases(MERGES)
def test_vmas_merge_and_split_as_drawn(
    world: World, there: str, call: str, first: int, pages: int, kind: str, result: str
) -> None:
    lay(world, there)
    make(world, call, first, pages, kind)
    assert drawn(world) == result.rstrip(".")


@cases(ACCOUNTED)
def test_promised_memory_does_not_part_vmas(
    world: World, there: str, call: str, first: int, pages: int, kind: str, result: str
) -> None:
    lay(world, there)
    make(world, call, first, pages, kind)
    assert drawn(world) == result


def make(world: World, call: str, first: int, pages: int, kind: str) -> None:
    addr, length = world.page(first), pages << PAGE_SHIFT
    if call == "munmap":
        world.munmap(addr, length)
    elif call == "mprotect":
        world.mprotect(addr, length, KINDS[kind][0])
    elif call == "mremap":
        world.mremap(addr, P, length)
    else:
        world.put(first, pages, *KINDS[kind])


@pytest.mark.parametrize(
    "flags",
    [
        MAP_PRIVATE | MAP_ANONYMOUS,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
        MAP_SHARED | MAP_ANONYMOUS,
        MAP_DROPPABLE | MAP_ANONYMOUS,
    ],
    ids=["private", "no reserve", "shared", "droppable"],
)
def test_a_page_made_read_only_and_back_merges_again(world: World, flags: int) -> None:
    world.put(0, 3, RW, flags)
    before = world.maps()
    world.mprotect(world.page(1), P, PROT_READ)
    assert drawn(world).upper() == "WRW"
    world.mprotect(world.page(1), P, RW)
    assert world.maps() == before


def test_no_reserve_made_writable_joins_no_reserve_always_writable(world: World) -> None:
    flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    world.put(0, 1, PROT_NONE, flags)
    world.put(1, 1, RW, flags)
    world.mprotect(world.page(0), P, RW)
    assert drawn(world) == "W-"


def test_shared_memory_of_two_calls_never_merges(world: World) -> None:
    for first in range(3):
        world.put(first, 1, RW, MAP_SHARED | MAP_ANONYMOUS)
    assert drawn(world) == "www"


def test_mprotect_down_to_where_a_stack_begins(world: World) -> None:
    # 0123
    # WGGG   mprotect page 2 with PROT_GROWSDOWN
    # WRRW   from the beginning of the stack on
    lay(world, "WGGG")
    world.mprotect(world.page(2), P, PROT_READ | PROT_GROWSDOWN)
    assert drawn(world) == "WR-W"


@pytest.fixture
def two_fds(world: World, tmp_path: Path) -> tuple[int, int]:
    """One inode, opened twice."""
    path = tmp_path / "file"
    path.write_bytes(bytes(P))
    if file_system_at(path) == "overlay":
        pytest.skip("temporary files are on overlayfs, where new mappings join no neighbour")
    return world.open(path, os.O_RDWR), world.open(path, os.O_RDWR)


def map_file(
    world: World, page: int, fd: int, at: int, prot: int = RW, flags: int = MAP_PRIVATE
) -> None:
    world.mmap(world.page(page), P, prot, flags | MAP_FIXED, fd, at * P)


@pytest.mark.parametrize("flags", [MAP_PRIVATE, MAP_SHARED], ids=["private", "shared"])
def test_pages_of_a_file_merge_if_they_continue_each_other(
    world: World, two_fds: tuple[int, int], flags: int
) -> None:
    fd, other = two_fds
    map_file(world, 0, fd, 5, flags=flags)
    map_file(world, 1, fd, 6, flags=flags)
    map_file(world, 2, fd, 6, flags=flags)
    map_file(world, 3, other, 7, flags=flags)
    assert drawn(world).upper() == "W-WW"


def test_a_page_of_a_file_joins_both_neighbours(world: World, two_fds: tuple[int, int]) -> None:
    for page in 0, 2, 1:
        map_file(world, page, two_fds[0], page)
    assert drawn(world) == "W--"


def test_of_overlayfs_new_mappings_join_no_neighbour(world: World, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    fd = world.open(path, os.O_RDWR)
    if isinstance(world, EngineWorld):
        world.process.files[fd].stacked = True
    elif file_system_at(path) != "overlay":
        pytest.skip("temporary files are not on overlayfs here")
    for page in 0, 2, 1:
        map_file(world, page, fd, page)
    assert drawn(world) == "WWW"
    world.mprotect(world.page(0), 2 * P, PROT_READ)
    assert drawn(world) == "R-W"


def test_a_file_once_private_and_writable_stays_promised_for(
    world: World, two_fds: tuple[int, int]
) -> None:
    # 01
    # RW   mprotect page 1 to R
    # RR   two VMAs: for page 1 there is memory promised, it may have been written to
    map_file(world, 0, two_fds[0], 0, PROT_READ)
    map_file(world, 1, two_fds[0], 1, RW)
    world.mprotect(world.page(1), P, PROT_READ)
    assert drawn(world) == "RR"
    world.mprotect(world.page(0), 2 * P, RW)
    assert drawn(world) == "W-"
    world.mprotect(world.page(0), 2 * P, PROT_READ)
    assert drawn(world) == "R-"
