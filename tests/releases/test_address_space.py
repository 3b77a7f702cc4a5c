"""What an address space does in the releases before and since each change."""

import errno
from collections.abc import Callable

import pytest

from tests.helpers.engine import ANON, FIXED, RW, Pages, addr
from tests.helpers.tasks import Worker, wait_until
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.mm.calls.shm import ShmSegment
from untorn.mm.file import VmFile
from untorn.mm.limits import Limits
from untorn.mm.mm_types import Vma
from untorn.mm.mman import (
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_GUARD_INSTALL,
    MADV_POPULATE_WRITE,
    MAP_ABOVE4G,
    MAP_DROPPABLE,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_STACK,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_NONE,
    PROT_READ,
    VM_ACCOUNT,
    VM_IO,
    VM_NOHUGEPAGE,
)
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.vmas.vdso import special_flags
from untorn.releases import changes
from untorn.releases.release import FIRST, Change, Release

MOVE = MREMAP_MAYMOVE | MREMAP_FIXED
DONTUNMAP = MOVE | MREMAP_DONTUNMAP


def around(change: Change) -> tuple[Pages, Pages]:
    """Return an address space of the last release without a change, and one of its first."""
    last = max(
        release
        for minor in range(20)
        for release in (Release(6, minor), Release(7, minor))
        if FIRST <= release < change.since and not release.has(change)
    )
    return Pages(release=last), Pages(release=change.since)


def outcome(do: Callable[[], object]) -> str:
    """Return "ok", or the name of the errno."""
    try:
        do()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok"


def outcomes(change: Change, do: Callable[[Pages], object]) -> tuple[str, str]:
    """Return the outcomes before a change and since."""
    before, since = around(change)
    return outcome(lambda: do(before)), outcome(lambda: do(since))


def drawings(change: Change, do: Callable[[Pages], object]) -> tuple[str, str]:
    """Return drawings of the first ten pages after do(), before a change and since."""
    pair = around(change)
    for pages in pair:
        do(pages)
        pages.check()
    before, since = (pages.diagram(10) for pages in pair)
    return before, since


def move(pages: Pages, first: int, end: int, to: int, flags: int = MOVE) -> None:
    length = (end - first) * PAGE_SIZE
    pages.mremap(addr(first), length, length, flags, addr(to))


def vma_at(pages: Pages, page: int) -> Vma:
    vma = pages.mm.find_vma(addr(page))
    assert vma is not None
    return vma


def test_what_calls_there_are() -> None:
    def seal(pages: Pages) -> None:
        pages.map(0, 1)
        pages.mseal(addr(0), PAGE_SIZE)

    def guard(pages: Pages) -> None:
        pages.map(0, 1)
        pages.madvise(addr(0), PAGE_SIZE, MADV_GUARD_INSTALL)

    def droppable(pages: Pages) -> None:
        pages.mmap(0, PAGE_SIZE, RW, ANON & ~MAP_PRIVATE | MAP_DROPPABLE)

    assert outcomes(changes.MSEAL, seal) == ("ENOSYS", "ok")
    assert outcomes(changes.GUARD_REGIONS, guard) == ("EINVAL", "ok")
    assert outcomes(changes.DROPPABLE, droppable) == ("EINVAL", "ok")


def test_shared_memory_has_names() -> None:
    def name(pages: Pages) -> None:
        pages.map(0, 1, RW, FIXED & ~MAP_PRIVATE | MAP_SHARED)
        pages.set_anon_name(addr(0), PAGE_SIZE, b"name")

    assert outcomes(changes.SHMEM_NAMED, name) == ("EBADF", "ok")


def test_the_heap_is_what_overlaps_it() -> None:
    shown = []
    for pages in around(changes.HEAP_OVERLAPS):
        pages.mm.start_brk = pages.mm.brk = addr(1)
        pages.map(1, 2, PROT_READ)
        with pages.open() as file:
            shown.append(b"[heap]" in file.read(4096))
    assert shown == [True, False]


def test_stacks_are_not_huge() -> None:
    before, since = around(changes.STACK_NOT_HUGE)
    for pages in before, since:
        pages.map(0, 1, RW, FIXED | MAP_STACK)
    assert not vma_at(before, 0).vm_flags & VM_NOHUGEPAGE
    assert vma_at(since, 0).vm_flags & VM_NOHUGEPAGE


def test_huge_memory_is_aligned() -> None:
    offsets = []
    for pages in around(changes.ANON_HUGE_ALIGNED):
        pages.mmap(0, PAGE_SIZE, RW, ANON)
        offsets.append(pages.mmap(0, PMD_SIZE, RW, ANON) % PMD_SIZE)
    assert offsets == [PMD_SIZE - PAGE_SIZE, 0]


@pytest.mark.parametrize(
    ("change", "hint", "length"),
    [
        (changes.ANON_WHOLE_ALIGNED, 0, PMD_SIZE + PAGE_SIZE),
        (changes.ANON_HINT_UNALIGNED, addr(1), PMD_SIZE),
    ],
    ids=["length", "hint"],
)
def test_which_huge_memory_is_aligned(change: Change, hint: int, length: int) -> None:
    aligned = []
    for pages in around(change):
        pages.map(0, 3)
        pages.mmap(0, PAGE_SIZE, RW, ANON)
        aligned.append(pages.mmap(hint, length, RW, ANON) % PMD_SIZE == 0)
    assert aligned == [True, False]


def test_huge_memory_is_aligned_at_the_top_of_its_room() -> None:
    places = []
    for pages in around(changes.ALIGNED_AT_TOP):
        pages.files[3] = VmFile(b"/file", huge_aligned=True)
        place = pages.mmap(0, PMD_SIZE, PROT_READ, MAP_PRIVATE, 3)
        places.append(pages.mm.mmap_base - place)
    assert places == [2 * PMD_SIZE, PMD_SIZE]


def test_dev_zero_is_aligned() -> None:
    offsets = []
    for pages in around(changes.DEV_ZERO_HUGE_ALIGNED):
        pages.files[3] = VmFile(b"/dev/zero", is_zero=True)
        pages.mmap(0, PAGE_SIZE, RW, ANON)
        offsets.append(pages.mmap(0, PMD_SIZE, RW, MAP_PRIVATE, 3) % PMD_SIZE)
    assert offsets == [PMD_SIZE - PAGE_SIZE, 0]


def test_shared_validate_refuses_flags_that_are_too_new() -> None:
    def validate(pages: Pages) -> None:
        pages.files[3] = VmFile(b"/file")
        pages.mmap(0, PAGE_SIZE, RW, MAP_SHARED_VALIDATE | MAP_ABOVE4G, 3)

    assert outcomes(changes.ABOVE4G, validate) == ("ENOTSUP", "ok")


def test_memory_above_4g_is_asked_for() -> None:
    def no_room_above(pages: Pages) -> None:
        pages.mm.mmap_legacy_base = pages.mm.mmap_base
        top = pages.mm.task_size - PAGE_SIZE
        pages.mmap(4 << 30, top - (4 << 30), 0, FIXED | MAP_NORESERVE)
        pages.mmap(0, 2 * PAGE_SIZE, RW, ANON | MAP_ABOVE4G)

    assert outcomes(changes.ABOVE4G, no_room_above) == ("ok", "ENOMEM")


def test_an_untouched_mapping_loses_its_account_flag() -> None:
    before, since = around(changes.UNTOUCHED_UNACCOUNTED)
    for pages in before, since:
        pages.map(0, 1)
        pages.protect(0, 1, PROT_READ)
    assert vma_at(before, 0).vm_flags & VM_ACCOUNT
    assert not vma_at(since, 0).vm_flags & VM_ACCOUNT


def test_populating_ends_at_a_hole() -> None:
    written = []
    for pages in around(changes.POPULATE_ENDS_AT_HOLE):
        pages.map(0, 1)
        pages.map(2, 3)
        with pytest.raises(OSError, match="Cannot allocate memory"):
            pages.madvise(addr(0), 3 * PAGE_SIZE, MADV_POPULATE_WRITE)
        written.append(vma_at(pages, 2).anon_vma is not None)
    assert written == [True, False]


def waits_for_a_writer(pages: Pages) -> bool:
    """Say whether a fault of page 0 has to wait for mmap_lock."""
    mmap_write_lock(pages.mm)
    worker = Worker(lambda: pages.touch(addr(0), write=False))
    wait_until(lambda: worker.done or pages.mm.mmap_lock.is_contended())
    waits = pages.mm.mmap_lock.is_contended()
    mmap_write_unlock(pages.mm)
    worker.join()
    return waits


def test_a_fault_needs_no_mmap_lock() -> None:
    before, since = around(changes.FAULTS_PER_VMA)
    for pages in before, since:
        pages.map(0, 1)
    assert waits_for_a_writer(before)
    assert not waits_for_a_writer(since)


def test_a_neighbour_without_pages_takes_pages_over() -> None:
    def merge(pages: Pages) -> None:
        pages.map(1, 2)
        pages.touch(addr(1), write=True)
        pages.protect(1, 2, PROT_READ)
        pages.map(0, 1)
        pages.protect(1, 2, RW)

    assert drawings(changes.ANON_VMA_TAKEN_OVER, merge) == ("AB........", "AA........")


def test_what_has_a_close_operation_grows() -> None:
    def merge(pages: Pages) -> None:
        pages.shmat(ShmSegment(3 * PAGE_SIZE), addr(0))
        pages.protect(1, 3, PROT_READ)
        pages.protect(1, 2, RW)

    assert drawings(changes.CLOSE_MERGES, merge) == ("ABC.......", "AAB.......")


def test_mmap_that_fails_leaves_a_hole() -> None:
    def fail(pages: Pages) -> None:
        pages.map(0, 4)
        pages.mm.limits = Limits(totalram_pages=1)
        pages.protect(1, 3, PROT_READ)
        assert outcome(lambda: pages.map(1, 3)) == "ENOMEM"

    assert drawings(changes.MMAP_REPLACES, fail) == ("A..B......", "ABBC......")


@pytest.mark.parametrize("release", [(6, 11), (6, 12)])
def test_mmap_replaces_nothing_sealed(release: tuple[int, int]) -> None:
    pages = Pages(release=release)
    pages.map(0, 1)
    pages.mseal(addr(0), PAGE_SIZE)
    assert outcome(lambda: pages.map(0, 1)) == "EPERM"


def test_mmap_over_a_limit_splits_nothing_first() -> None:
    def fail(pages: Pages) -> None:
        pages.map(0, 4)
        pages.mm.limits = Limits(rlimit_as=4 * PAGE_SIZE)
        assert outcome(lambda: pages.map(3, 5)) == "ENOMEM"

    assert drawings(changes.MMAP_REPLACES, fail) == ("AAAA......", "AAAB......")


def test_limits_are_checked_once_for_a_mapping_that_replaces_read_only_memory() -> None:
    def replace(pages: Pages) -> None:
        pages.map(0, 2, PROT_READ)
        pages.mm.limits = Limits(rlimit_data=PAGE_SIZE)
        pages.map(0, 3)

    assert outcomes(changes.MMAP_REPLACES, replace) == ("ok", "ok")


def test_mmap_prefers_the_neighbour_above_that_has_pages() -> None:
    def fill(pages: Pages) -> None:
        pages.map(0, 1)
        pages.map(2, 3)
        pages.touch(addr(2), write=True)
        pages.map(1, 2)

    assert drawings(changes.MMAP_REPLACES, fill) == ("ABB.......", "AAA.......")


@pytest.mark.parametrize(
    "change_three",
    [
        lambda pages: pages.unmap(1, 4),
        lambda pages: pages.map(1, 4),
        lambda pages: pages.protect(1, 4, PROT_NONE),
        lambda pages: pages.madvise(addr(1), 3 * PAGE_SIZE, MADV_DONTFORK),
    ],
    ids=["munmap", "mmap", "mprotect", "madvise"],
)
def test_seals_are_checked_in_the_whole_range(change_three: Callable[[Pages], object]) -> None:
    def fail(pages: Pages) -> None:
        pages.map(0, 4, PROT_READ)
        pages.mseal(addr(2), PAGE_SIZE)
        assert outcome(lambda: change_three(pages)) == "EPERM"

    assert drawings(changes.SEALS_ONE_BY_ONE, fail) == ("AABC......", "ABCD......")


def test_mremap_checks_seals_after_the_new_address_or_before_it() -> None:
    def misplace(pages: Pages) -> None:
        pages.map(0, 1)
        pages.mseal(addr(0), PAGE_SIZE)
        pages.mremap(addr(0), PAGE_SIZE, PAGE_SIZE, MOVE, addr(5) + 1)

    assert outcomes(changes.SEALS_ONE_BY_ONE, misplace) == ("EINVAL", "EPERM")


def test_mremap_checks_seals_in_its_whole_range() -> None:
    def grow(pages: Pages) -> None:
        pages.map(0, 2)
        pages.mseal(addr(1), PAGE_SIZE)
        pages.mremap(addr(0), 2 * PAGE_SIZE, 3 * PAGE_SIZE, MREMAP_MAYMOVE)

    assert outcomes(changes.SEALS_ONE_BY_ONE, grow) == ("EPERM", "EFAULT")


def test_sealed_dev_zero_is_protected() -> None:
    def discard(pages: Pages) -> None:
        pages.files[3] = VmFile(b"/dev/zero", is_zero=True)
        place = pages.mmap(0, PAGE_SIZE, PROT_READ, MAP_PRIVATE, 3)
        pages.mseal(place, PAGE_SIZE)
        pages.madvise(place, PAGE_SIZE, MADV_DONTNEED)

    assert outcomes(changes.SEAL_COVERS_DEV_ZERO, discard) == ("ok", "EPERM")


def test_mremap_of_several() -> None:
    def both(pages: Pages) -> None:
        pages.map(0, 1)
        pages.map(1, 2, PROT_READ)
        move(pages, 0, 2, 5)

    assert outcomes(changes.MREMAP_OF_SEVERAL, both) == ("EFAULT", "ok")


def test_mremap_looks_at_the_mapping_before_it_unmaps() -> None:
    def fail(pages: Pages) -> None:
        pages.map(0, 1)
        pages.map(5, 8)
        assert outcome(lambda: move_grown(pages)) == "EFAULT"

    def move_grown(pages: Pages) -> None:
        pages.mremap(addr(0), 2 * PAGE_SIZE, 3 * PAGE_SIZE, MOVE, addr(5))

    assert drawings(changes.MREMAP_CHECKS_FIRST, fail) == ("A.........", "A....BBB..")


def test_what_dontunmap_copies_is_counted_once_or_twice() -> None:
    counts = []
    for pages in around(changes.DONTUNMAP_COUNTS_TWICE):
        pages.map(0, 3)
        pages.mlock2(addr(0), 3 * PAGE_SIZE)
        move(pages, 1, 2, 6, DONTUNMAP)
        pages.check()
        counts.append(pages.mm.locked_vm)
    assert counts == [3, 4]


@pytest.mark.parametrize(("release", "drawing"), [((6, 1, 192), "ABC"), ((6, 12, 117), "ABB")])
def test_where_a_copy_beside_its_source_may_merge(release: tuple[int, ...], drawing: str) -> None:
    pages = Pages(release=release)
    pages.map(0, 1)
    pages.map(2, 3)
    move(pages, 0, 1, 1, DONTUNMAP)
    assert pages.diagram(3) == drawing


def test_lengths_of_dontunmap_are_compared_in_bytes() -> None:
    def keep(pages: Pages) -> None:
        pages.map(0, 1)
        pages.mremap(addr(0), PAGE_SIZE, PAGE_SIZE - 1, DONTUNMAP, addr(5))

    assert outcomes(changes.MREMAP_CHECKS_FIRST, keep) == ("EINVAL", "ok")


def test_where_vvar_is_memory_of_a_device() -> None:
    flags = [special_flags(b"[vvar]", pages.mm.release) for pages in around(changes.VVAR_NOT_IO)]
    assert [each & VM_IO for each in flags] == [VM_IO, 0]
