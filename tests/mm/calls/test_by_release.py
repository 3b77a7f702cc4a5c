"""Calls that behave differently in two releases; see untorn.releases.changes."""

import errno

import pytest

from tests.helpers.engine import FIXED, RW, Pages, addr, text_of
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.mm.file import VmFile
from untorn.mm.limits import Limits
from untorn.mm.mman import (
    MADV_COLLAPSE,
    MADV_DOFORK,
    MADV_DONTNEED_LOCKED,
    MAP_FIXED,
    MAP_LOCKED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_EXEC,
    PROT_READ,
)
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.vmas.vdso import map_vdso

P = PAGE_SIZE
DONTUNMAP = MREMAP_MAYMOVE | MREMAP_DONTUNMAP


def fails(call: object) -> int:
    """Return the errno of a call; 0 if it succeeds."""
    assert callable(call)
    try:
        call()
    except OSError as error:
        return error.errno or 0
    return 0


@pytest.mark.parametrize(
    ("release", "room", "result"),
    [((7, 0), 5, errno.ENOMEM), ((7, 0), 6, 0), ((7, 1), 3, errno.ENOMEM), ((7, 1), 4, 0)],
)
def test_how_much_room_a_move_needs(release: tuple[int, int], room: int, result: int) -> None:
    process = Pages(limits=Limits(max_map_count=1 + room), release=release)
    process.map(0, 1)
    assert fails(lambda: process.move(0, 1, 4)) == result


@pytest.mark.parametrize(("release", "result"), [((7, 0), 0), ((7, 1), errno.ENOMEM)])
def test_whether_a_shrink_needs_room(release: tuple[int, int], result: int) -> None:
    process = Pages(limits=Limits(max_map_count=2), release=release)
    process.map(0, 2)
    assert fails(lambda: process.resize(0, 2, 1)) == result


@pytest.mark.parametrize(
    ("release", "drawing", "locked"), [((7, 2), "AAAA.B", 5), ((7, 2, 13), "ABCC.D", 4)]
)
def test_what_dontunmap_unlocks(release: tuple[int, int], drawing: str, locked: int) -> None:
    process = Pages(release=release)
    process.map(0, 4, RW, FIXED | MAP_LOCKED)
    process.mremap(addr(1), P, P, DONTUNMAP, addr(5))
    assert process.diagram(6) == drawing
    assert process.mm.locked_vm == locked
    process.check()


@pytest.mark.parametrize(("release", "drawing"), [((7, 2), "AAAA"), ((7, 2, 13), "AABB")])
def test_whether_dontunmap_merges_unwritten_memory_with_its_copy(
    release: tuple[int, int], drawing: str
) -> None:
    process = Pages(release=release)
    process.map(0, 2)
    process.mremap(addr(0), 2 * P, 2 * P, DONTUNMAP, addr(2))
    assert process.diagram(4) == drawing
    process.check()


@pytest.mark.parametrize(
    ("release", "result"),
    [((6, 14), errno.EFAULT), ((6, 15), errno.EINVAL), ((7, 3), errno.EINVAL)],
)
def test_whether_a_place_that_is_not_aligned_or_a_hole_is_found_first(
    release: tuple[int, ...], result: int
) -> None:
    process = Pages(release=release)
    move = MREMAP_MAYMOVE | MREMAP_FIXED
    assert fails(lambda: process.mremap(addr(0), P, P, move, addr(4) + 1)) == result


@pytest.mark.parametrize(
    ("release", "drawing"),
    [((6, 14), "AAA.B"), ((6, 15), "AAB.C"), ((6, 17, 13), "AAA.B"), ((6, 18), "AAA.B")],
)
def test_whether_what_dontunmap_left_stays_charged(release: tuple[int, ...], drawing: str) -> None:
    process = Pages(release=release)
    process.map(0, 2)
    process.mremap(addr(0), P, P, DONTUNMAP, addr(4))
    process.map(2, 3)
    assert process.diagram(5) == drawing


@pytest.mark.parametrize(("release", "drawing"), [((7, 2), "AB....CC"), ((7, 2, 13), "AA....BB")])
def test_whether_what_dontunmap_left_can_merge(release: tuple[int, int], drawing: str) -> None:
    process = Pages(release=release)
    process.map(4, 6)
    process.access(4, write=True)
    process.move(4, 6, 0)  # its page offset is still that of page 4
    process.mremap(addr(0), 2 * P, 2 * P, DONTUNMAP, addr(6))
    process.unmap(1, 2)
    process.map(1, 2)
    assert process.diagram(8) == drawing
    process.check()


@pytest.mark.parametrize(("release", "drawing"), [((7, 2), "A.......BB"), ((7, 3), "A.......BC")])
def test_whether_a_written_page_of_a_file_merges_where_it_was_moved_to(
    release: tuple[int, int], drawing: str
) -> None:
    process = Pages(release=release)
    process.files[3] = VmFile(b"/file")
    process.mmap(addr(0), 2 * P, RW, MAP_PRIVATE | MAP_FIXED, 3, 0)
    process.access(1, write=True)
    process.move(1, 2, 8)
    process.mmap(addr(9), P, RW, MAP_PRIVATE | MAP_FIXED, 3, 2 * P)
    assert process.diagram(10) == drawing


@pytest.mark.parametrize(
    ("release", "dofork", "discard"), [((6, 19), 0, errno.EINVAL), ((7, 1), errno.EINVAL, 0)]
)
def test_advice_about_what_the_kernel_maps(
    release: tuple[int, int], dofork: int, discard: int
) -> None:
    process = Pages(release=release)
    mmap_write_lock(process.mm)
    map_vdso(process.mm)
    mmap_write_unlock(process.mm)
    starts = {vma.vm_ops.name: start for start, _, vma in process.mm.mm_mt if vma.vm_ops}
    vvar, vdso = starts[b"[vvar]"], starts[b"[vdso]"]
    assert fails(lambda: process.madvise(vdso, P, MADV_DOFORK)) == dofork
    assert fails(lambda: process.madvise(vvar, P, MADV_DONTNEED_LOCKED)) == discard


@pytest.mark.parametrize(("release", "result"), [((7, 1), errno.EINVAL), ((7, 2), 0)])
def test_a_collapse_of_less_than_a_huge_page(release: tuple[int, int], result: int) -> None:
    process = Pages(release=release)
    process.mmap(PMD_SIZE, 2 * PMD_SIZE, RW, FIXED)
    process.touch(PMD_SIZE, write=True)
    assert fails(lambda: process.madvise(PMD_SIZE + P, P, MADV_COLLAPSE)) == result


@pytest.mark.parametrize(("release", "shared"), [((7, 2), True), ((7, 3), False)])
def test_whether_a_neighbour_shares_the_anon_vma_of_a_moved_page_of_a_file(
    release: tuple[int, int], shared: bool
) -> None:
    process = Pages(release=release)
    process.files[3] = VmFile(b"/file")
    process.mmap(addr(0), P, RW, MAP_PRIVATE | MAP_FIXED, 3, 0)
    process.access(0, write=True)
    process.move(0, 1, 8)
    process.mmap(addr(9), P, RW | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, 3, P)
    process.access(9, write=True)
    assert (process.vma(8).anon_vma is process.vma(9).anon_vma) == shared


@pytest.mark.parametrize("release", [(7, 2), (7, 3)])
def test_an_unwritten_page_of_a_file_merges_where_it_was_moved_to(
    release: tuple[int, int],
) -> None:
    process = Pages(release=release)
    process.files[3] = VmFile(b"/file")
    process.mmap(addr(0), 2 * P, RW, MAP_PRIVATE | MAP_FIXED, 3, 0)
    process.move(1, 2, 8)
    process.mmap(addr(9), P, RW, MAP_PRIVATE | MAP_FIXED, 3, 2 * P)
    assert process.diagram(10) == "A.......BB"


@pytest.mark.parametrize(
    ("release", "name"), [((7, 2), b"/dev/zero"), ((7, 3), b"/dev/zero (deleted)")]
)
def test_a_read_only_dev_zero_that_is_shared(release: tuple[int, int], name: bytes) -> None:
    process = Pages(release=release)
    process.files[3] = VmFile(b"/dev/zero", is_zero=True, writable=False)
    process.mmap(addr(0), P, PROT_READ, MAP_SHARED | MAP_FIXED, 3, 0)
    line = text_of(process)
    assert line.split()[1] == b"r--s"
    assert line.rstrip(b"\n").endswith(b" " + name)
