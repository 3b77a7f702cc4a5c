"""Maps with hugetlbfs: like Linux, or refused by name if the files may be others."""

import errno
from typing import Any

import pytest

from tests.helpers.engine import RW, text_of
from tests.helpers.maps_texts import GATE_LINE, huge, line
from untorn.maps.page import PAGE_SIZE, PMD_SIZE, PUD_SIZE
from untorn.mm.mman import (
    MADV_DONTNEED,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MREMAP_MAYMOVE,
    PROT_NONE,
    PROT_READ,
)
from untorn.syscalls import Process

P = PAGE_SIZE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
ON_A_DISK = line(0x7F00_0000_0000, P, b"/lib/x", major=8, minor=1, inode=3)
ANON_HUGEPAGE = line(
    0x7F00_0000_0000, 10 * PMD_SIZE, b"/anon_hugepage (deleted)", minor=0x10, inode=1
)

REFUSED = {
    "hugetlbfs?": (
        huge(0x7F00_0000_0000, PMD_SIZE, b"/mnt/huge/x"),
        r"^line 1 .*may be on hugetlbfs: say so with hugetlb=\{\(0, 16\): 2 << 20\}",
    ),
    "memfd?": (huge(0x7F00_0000_0000, PMD_SIZE, b"/memfd:x (deleted)"), "may be on hugetlbfs"),
    "System V?": (huge(0x7F00_0000_0000, PMD_SIZE, b"/SYSV00000000 (deleted)"), "may be on"),
    "2 MB or 1 GB?": (
        huge(0x7F00_0000_0000, PUD_SIZE, b"/anon_hugepage (deleted)"),
        "^line 1 .*pages of 2 MB or of 1 GB: say so",
    ),
    "half a huge page": (
        huge(0x7F00_0000_0000, 3 << 20, b"/anon_hugepage (deleted)"),
        "^line 1 .*not aligned to pages of 2048 kB",
    ),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_text_leaves_open_is_refused_by_name(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Process.from_maps(text)


TOLD = {
    "no such pages": ({"hugetlb": {(8, 1): 3}}, "no pages of x86-64 have 3 bytes"),
    "no such device": ({"hugetlb": {(0, 9): 4096}}, r"no line of the maps has the device \(0, 9\)"),
    "small pages": ({"hugetlb": {(8, 1): PMD_SIZE}}, "^line 1 .*not aligned to pages of 2048 kB"),
}


@pytest.mark.parametrize(("told", "reason"), TOLD.values(), ids=TOLD.keys())
def test_what_the_text_contradicts_is_refused(told: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Process.from_maps(ON_A_DISK, **told)


def test_4_kb_inside_a_huge_page_cannot_be_changed() -> None:
    process = Process.from_maps(ANON_HUGEPAGE)
    start = 0x7F00_0000_0000
    for call in (
        lambda: process.mprotect(start + P, P, PROT_READ),
        lambda: process.munmap(start, P),
        lambda: process.madvise(start + P, P, MADV_DONTNEED),
        lambda: process.mremap(start, P, 3 * PMD_SIZE, MREMAP_MAYMOVE),
        lambda: process.mmap(start + P, P, RW, ANONYMOUS | MAP_FIXED),
    ):
        with pytest.raises(OSError, match="Invalid argument") as caught:
            call()
        assert caught.value.errno == errno.EINVAL
    assert text_of(process) == ANON_HUGEPAGE
    process.mprotect(start + PMD_SIZE, PMD_SIZE, PROT_READ)
    assert process.mm.map_count == 3


@pytest.mark.parametrize("size", [PMD_SIZE, PUD_SIZE])
def test_what_is_told_of_a_device_holds_for_all_its_files(size: int) -> None:
    names = b"/anon_hugepage (deleted)", b"/dev/hugepages/x", b"/SYSV00000000 (deleted)"
    text = b"".join(huge((n + 1) * size, size, name) for n, name in enumerate(names)) + GATE_LINE
    process = Process.from_maps(text, hugetlb={(0, 0x10): size})
    assert text_of(process) == text
    for number in range(1, 4):
        with pytest.raises(OSError, match="Invalid argument"):
            process.munmap(number * size, P)
        with process.open() as maps:
            assert maps.query(number * size).page_size == size
    sizes = b"KernelPageSize: %8d kB\nMMUPageSize:    %8d kB\n" % (size >> 10, size >> 10)
    assert text_of(process, "smaps").count(sizes) == 3


PLAIN = {
    "told": (huge(PMD_SIZE, PMD_SIZE, b"/mnt/x"), {"hugetlb": {(0, 0x10): P}}),
    "other borders": (
        huge(PMD_SIZE, PMD_SIZE, b"/tmp/x") + huge(2 * PMD_SIZE, P, b"/tmp/x", offset=PMD_SIZE),
        {},
    ),
    "other borders in the file": (huge(PMD_SIZE, PMD_SIZE, b"/tmp/x", offset=P), {}),
    "beside shared memory": (
        huge(PMD_SIZE, PMD_SIZE, b"/memfd:x (deleted)")
        + huge(4 * PMD_SIZE, PMD_SIZE, b"/dev/zero (deleted)"),
        {},
    ),
    "the first of all devices": (huge(PMD_SIZE, PMD_SIZE, b"/memfd:x (deleted)", minor=1), {}),
    "on a disk": (line(PMD_SIZE, PMD_SIZE, b"/lib/x", major=8, minor=1, inode=3), {}),
}


def test_a_huge_page_cannot_be_told_to_be_small() -> None:
    with pytest.raises(ValueError, match=r"^line 1 .*has huge pages"):
        Process.from_maps(ANON_HUGEPAGE, hugetlb={(0, 0x10): P})


@pytest.mark.parametrize(("text", "told"), PLAIN.values(), ids=PLAIN.keys())
def test_other_files_have_small_pages(text: bytes, told: dict[str, Any]) -> None:
    process = Process.from_maps(text + GATE_LINE, **told)
    process.mprotect(PMD_SIZE + P, P, PROT_NONE)
    assert process.mm.map_count == text.count(b"\n") + 2


def test_a_private_mapping_of_dev_zero_is_anonymous_memory() -> None:
    text = line(0x7F00_0000_0000, 2 * P, b"/dev/zero", minor=6, inode=5)
    process = Process.from_maps(text)
    process.touch(0x7F00_0000_0000, write=False)
    assert b"Rss:                   0 kB" in text_of(process, "smaps"), "the zero page"
