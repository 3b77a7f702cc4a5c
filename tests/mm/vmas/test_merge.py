"""Merges of VMAs that no system call would lay out so, drawn: each letter is a VMA of its own.

What is to be merged is a range of pages: new (nothing is there), or part of the VMA that is there.
The VMA that grows keeps its letter. See vma_drawing.py.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import product

import pytest

from tests.helpers.engine import addr
from tests.helpers.vma_drawing import FLAGS, Drawing
from untorn.mm.file import VmOperations
from untorn.mm.mman import (
    VM_DONTEXPAND,
    VM_IO,
    VM_MAYBE_GUARD,
    VM_MIXEDMAP,
    VM_PFNMAP,
    VM_SPECIAL,
)
from untorn.mm.vmas.modify import vma_modify_flags

CLOSES = VmOperations(b"", has_close=True)
SPECIAL = {"io": VM_IO, "dontexpand": VM_DONTEXPAND, "pfnmap": VM_PFNMAP, "mixedmap": VM_MIXEDMAP}
Draw = Callable[..., Drawing]


@pytest.fixture
def draw() -> Iterator[Draw]:
    """Make drawings, and release their locks at the end."""
    with ExitStack() as stack:

        def draw_one(text: str, flags: int = FLAGS) -> Drawing:
            return stack.enter_context(Drawing(text, flags))

        yield draw_one


NEW = [
    ("A.B", 1, 2, "AAA"),
    ("AAA..BBBB", 3, 5, "AAAAAAAAA"),
    ("AAA..BBBB", 3, 4, "AAAA.BBBB"),
    ("AAA..BBBB", 4, 5, "AAA.BBBBB"),
    ("A....B", 2, 4, "A....B"),
    ("AA...", 2, 5, "AAAAA"),
    ("...BB", 0, 3, "BBBBB"),
]


@pytest.mark.parametrize(("there", "first", "end", "result"), NEW)
def test_a_new_range_joins_what_it_touches(
    draw: Draw, there: str, first: int, end: int, result: str
) -> None:
    drawing = draw(there)
    target = drawing.merge_new(first, end)
    assert str(drawing) == result
    assert (target is None) == (there == result)
    assert target is None or target.vm_lock_seq == drawing.mm.mm_lock_seq, "it is write-locked"


EXISTING = [
    ("right, a part", "..VVVVNNN", 3, 6, "..VNNNNNN"),
    ("right, all", "..VVVVNNN", 2, 6, "..NNNNNNN"),
    ("left, a part", "PPPVVVV", 3, 6, "PPPPPPV"),
    ("left, all", "PPPVVVV", 3, 7, "PPPPPPP"),
    ("both", "PPPVVVVNNN", 3, 7, "PPPPPPPPPP"),
    *[("neither", "PPPVVVVVNNN", a, b, "PPPVVVVVNNN") for a, b in ((4, 5), (5, 6), (6, 7), (4, 7))],
    ("a hole on each side", "P.VV.N", 2, 4, "P.VV.N"),
]


@pytest.mark.parametrize(
    ("there", "first", "end", "result"), [row[1:] for row in EXISTING], ids=[r[0] for r in EXISTING]
)
@pytest.mark.parametrize("owner", ["nobody", "V"])
def test_a_part_of_a_vma_joins_what_it_touches(
    draw: Draw, there: str, first: int, end: int, result: str, owner: str
) -> None:
    drawing = draw(there)
    anon_vma = drawing.own_pages("V") if owner == "V" else None
    target = drawing.merge_existing(first, end)
    assert str(drawing) == result
    if target is not None:
        assert target.anon_vma is anon_vma, "the pages take their anon_vma along"
        assert target.vm_lock_seq == drawing.mm.mm_lock_seq


def test_a_change_without_effect_splits_and_keeps_the_vma_in_the_middle(draw: Draw) -> None:
    drawing = draw("AAA")
    vma = vma_modify_flags(drawing.mm, drawing.vmas["A"], addr(1), addr(2), FLAGS)
    assert vma is drawing.vmas["A"]
    assert str(drawing) == "*A*"


@pytest.mark.parametrize("flag", SPECIAL.values(), ids=SPECIAL.keys())
def test_what_is_special_never_merges(draw: Draw, flag: int) -> None:
    drawing = draw("AAAB", FLAGS | flag)
    assert drawing.merge_new(4, 5) is None
    assert drawing.merge_existing(3, 4) is None
    assert str(drawing) == "AAAB"


def test_there_is_no_other_special_flag() -> None:
    assert sum(SPECIAL.values()) == VM_SPECIAL


def test_seven_new_ranges_make_one_of_three(draw: Draw) -> None:
    # The VMA that grows takes over the anon_vma of those that it swallows. It may have a close
    # operation, because it stays.
    drawing = draw("AA.B...DD..C")
    a, b, c, d = (drawing.vmas[letter] for letter in "ABCD")
    anon_vma = drawing.own_pages("B", "C", "D")
    a.vm_ops = CLOSES
    steps = [
        (2, 3, a, "AAAA...DD..C"),
        (4, 5, a, "AAAAA..DD..C"),
        (6, 7, d, "AAAAA.DDD..C"),
        (5, 6, a, "AAAAAAAAA..C"),
        (10, 11, c, "AAAAAAAAA.CC"),
        (9, 10, a, "AAAAAAAAAAAA"),
    ]
    for first, end, target, result in steps:
        assert drawing.merge_new(first, end) is target
        assert str(drawing) == result
        assert target.anon_vma is anon_vma
    assert (drawing.mm.map_count, anon_vma.num_active_vmas.load()) == (1, 1)
    assert b.vm_refcnt.load() == d.vm_refcnt.load() == c.vm_refcnt.load() == 0


@pytest.mark.parametrize("sticky", [*product((0, VM_MAYBE_GUARD), repeat=3)])
@pytest.mark.parametrize("there", ["PPVVNN", "PP..NN"], ids=["existing", "new"])
def test_a_sticky_flag_stays_in_a_merge(draw: Draw, there: str, sticky: tuple[int, ...]) -> None:
    drawing = draw(there)
    for letter, flag in zip("PVN", sticky, strict=True):
        if letter in drawing.vmas:
            drawing.vmas[letter].vm_flags |= flag
    if "V" in there:
        target = drawing.merge_existing(2, 4)
    else:
        target = drawing.merge_new(2, 4, FLAGS | sticky[1])
    assert str(drawing) == "PPPPPP"
    assert target is not None
    assert target.vm_flags == FLAGS | (VM_MAYBE_GUARD if any(sticky) else 0)


@pytest.mark.parametrize("sticky", [*product((0, VM_MAYBE_GUARD), repeat=2)])
@pytest.mark.parametrize(
    ("there", "first", "end", "result"), [("PPVV", 2, 3, "PPPV"), ("VVPP", 1, 2, "VPPP")]
)
def test_a_sticky_flag_goes_with_a_part(
    draw: Draw, sticky: tuple[int, ...], there: str, first: int, end: int, result: str
) -> None:
    drawing = draw(there)
    drawing.vmas["V"].vm_flags |= sticky[0]
    drawing.vmas["P"].vm_flags |= sticky[1]
    drawing.merge_existing(first, end)
    assert str(drawing) == result
    assert drawing.vmas["P"].vm_flags == FLAGS | sticky[0] | sticky[1]
    assert drawing.vmas["V"].vm_flags == FLAGS | sticky[0]


CLOSING = [
    ("new", "PPP..NNNN", "N", 3, 5, "PPPPPNNNN"),
    ("new", "PP...NN", "PN", 2, 5, "PPPPPNN"),
    ("new", "PP...", "P", 2, 5, "PPPPP"),
    ("existing", "PPPVV", "V", 3, 5, "PPPVV"),
    ("existing", "...VVNNNN", "V", 3, 5, "...VVNNNN"),
    ("existing", "PPPVVNNNN", "V", 3, 5, "PPPVVNNNN"),
    ("existing", "PPPVVNNNN", "N", 3, 5, "PPPPPNNNN"),
    ("existing", "PPPVV", "V", 3, 4, "PPPPV"),
    ("existing", "VVNNN", "VN", 1, 2, "VNNNN"),
]


@pytest.mark.parametrize(("what", "there", "closes", "first", "end", "result"), CLOSING)
def test_a_vma_with_a_close_operation_is_not_removed(
    draw: Draw, what: str, there: str, closes: str, first: int, end: int, result: str
) -> None:
    drawing = draw(there)
    for letter in closes:
        drawing.vmas[letter].vm_ops = CLOSES
    target = (drawing.merge_new if what == "new" else drawing.merge_existing)(first, end)
    assert str(drawing) == result
    assert (target is None) == (there == result)


@pytest.mark.parametrize(("there", "merge"), [("PPPVVVVNNN", "existing"), ("PPP....NNN", "new")])
def test_if_anon_vmas_differ_the_upper_neighbour_does_not_merge(
    draw: Draw, there: str, merge: str
) -> None:
    drawing = draw(there)
    own = drawing.own_pages("P")
    drawing.own_pages("N")
    target = (drawing.merge_new if merge == "new" else drawing.merge_existing)(3, 7)
    assert target is drawing.vmas["P"]
    assert str(drawing) == "PPPPPPPNNN"
    assert target.anon_vma is own
    assert drawing.vmas["N"].vm_lock_seq != drawing.mm.mm_lock_seq, "it was not even locked"


OWNERS = [
    ("of the VMA above", "PPPVVNNN", "N", 3, 5, "PPPPPPPP"),
    ("of the VMA between", "PPPVVNNN", "V", 3, 5, "PPPPPPPP"),
    ("of the VMA that shrinks, to the one below", "PPPVVVVV", "V", 3, 5, "PPPPPVVV"),
    ("of the VMA that shrinks, to the one above", "VVVVVNNN", "V", 3, 5, "VVVNNNNN"),
]


@pytest.mark.parametrize(
    ("there", "owner", "first", "end", "result"),
    [r[1:] for r in OWNERS],
    ids=[r[0] for r in OWNERS],
)
def test_the_anon_vma_is_passed_on(
    draw: Draw, there: str, owner: str, first: int, end: int, result: str
) -> None:
    drawing = draw(there)
    anon_vma = drawing.own_pages(owner)
    target = drawing.merge_existing(first, end)
    assert str(drawing) == result
    assert target is not None
    assert target.anon_vma is anon_vma
    assert target.anon_vma_chain == (anon_vma,)
    owned = [vma for _, _, vma in drawing.mm.mm_mt if vma.anon_vma is anon_vma]
    assert anon_vma.num_active_vmas.load() == len(owned)
