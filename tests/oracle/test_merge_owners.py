"""Merges that who owns pages decides, and moves: drawn, true of engine and kernel.

Which VMA has which anon_vma no file shows; but two that own pages of different ones never merge.
See test_merge.py for the drawings; pages that are written first stand in brackets.
"""

import pytest

from tests.oracle.diagrams import KINDS, drawn, lay
from tests.oracle.worlds import World
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE

P = PAGE_SIZE
MOVE = MREMAP_FIXED | MREMAP_MAYMOVE
OWNERS = """
    mprotect, owners differ      WWWRRWWW  [0 5]    mprotect 3 2 W  W----W--
    mmap, owners differ          WWW..WWW  [0 5]    mmap     3 2 W  W----W--
    mprotect, the lower owns     WWWRRWWW  [0]      mprotect 3 2 W  W-------
    mprotect, the upper owns     WWWRRWWW  [5]      mprotect 3 2 W  W-------
    mmap, the lower owns         WWW..WWW  [2]      mmap     3 2 W  W-------
    mmap, the upper owns         WWW..WWW  [5]      mmap     3 2 W  W-------
    owners meet by a hole filled W.W.W     [0 2 4]  mmap     1 1 W  W-W.W
    a part of the middle         WWRRWW    [0 4]    mprotect 2 1 W  W--RW-
    a part of the middle, above  WWRRWW    [0 4]    mprotect 3 1 W  W-RW--
"""


def owners() -> pytest.MarkDecorator:
    rows = []
    for line in OWNERS.strip().splitlines():
        before, _, rest = line.partition("[")
        touched, _, after = rest.partition("]")
        *what, there = before.split()
        call, first, pages, kind, result = after.split()
        row = there, touched.split(), call, int(first), int(pages), kind, result
        rows.append(pytest.param(*row, id=" ".join(what)))
    names = ("there", "touched", "call", "first", "pages", "kind", "result")
    return pytest.mark.parametrize(names, rows)


@owners()
def test_owners_decide(
    world: World,
    there: str,
    touched: list[str],
    call: str,
    first: int,
    pages: int,
    kind: str,
    result: str,
) -> None:
    lay(world, there)
    for page in touched:
        world.touch(world.page(int(page)))
    if call == "mprotect":
        world.mprotect(world.page(first), pages * P, KINDS[kind][0])
    else:
        world.put(first, pages, *KINDS[kind])
    assert drawn(world) == result


MOVES = """
    untouched, next to its like      W......WW  -  0 1 -> 6  ......W--
    untouched, before and behind     W...W.W    -  0 1 -> 5  ....W--
    touched: its pages stay in place W......WW  0  0 1 -> 6  ......WW-
    touched, back to where it was    WWW....    0  1 1 -> 5  W.W..W
    the head of another              W..WWW     -  3 2 -> 1  W--..W
    several at once                  WRW....    -  0 3 -> 4  ....WRW
"""


def moves() -> pytest.MarkDecorator:
    rows = []
    for line in MOVES.strip().splitlines():
        *what, there, touched, first, pages, _, to, result = line.split()
        row = there, touched, int(first), int(pages), int(to), result
        rows.append(pytest.param(*row, id=" ".join(what)))
    names = ("there", "touched", "first", "pages", "to", "result")
    return pytest.mark.parametrize(names, rows)


@moves()
def test_what_is_moved_joins_its_like(
    world: World, there: str, touched: str, first: int, pages: int, to: int, result: str
) -> None:
    lay(world, there)
    if touched != "-":
        world.touch(world.page(int(touched)))
    world.mremap(world.page(first), pages * P, pages * P, MOVE, world.page(to))
    assert drawn(world) == result


def test_a_touched_page_that_comes_back_joins_what_it_came_from(world: World) -> None:
    # 0123456
    # WWW      touched; page 1 moves to 5 and back
    # W.W..W
    # WWW
    lay(world, "WWW")
    world.touch(world.page(0))
    world.mremap(world.page(1), P, P, MOVE, world.page(5))
    assert drawn(world) == "W.W..W"
    world.mremap(world.page(5), P, P, MOVE, world.page(1))
    assert drawn(world) == "W--"


def test_what_stays_behind_a_move_owns_nothing_and_joins_anything(world: World) -> None:
    # 0123456789
    # W.W...      both touched: two owners; page 0 moves to 6, its mapping stays
    # W.W...W
    # WWW...W     page 1 is mapped: nothing keeps 0 and 2 apart
    lay(world, "W.W")
    for page in (0, 2):
        world.touch(world.page(page))
    world.mremap(world.page(0), P, P, MOVE | MREMAP_DONTUNMAP, world.page(6))
    world.put(1)
    assert drawn(world) == "W--...W"
