"""Named anonymous memory: prctl(PR_SET_VMA_ANON_NAME). Many kernels are built without it."""

import errno

import pytest

from tests.helpers.engine import RW, Pages, addr, text_of
from untorn.maps.page import PAGE_SIZE
from untorn.mm.file import VmFile
from untorn.mm.limits import Limits
from untorn.mm.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_READ


@pytest.fixture
def process() -> Pages:
    process = Pages()
    process.map(0, 4)
    return process


def lines(process: Pages) -> list[tuple[bytes, bytes]]:
    process.check()
    text = text_of(process).splitlines()
    return [(line.split(b"-")[0], line[73:]) for line in text]


def test_a_name_splits_and_shows_and_equal_names_merge(process: Pages) -> None:
    process.set_anon_name(addr(1), PAGE_SIZE, b"arena 1")
    assert [name for _, name in lines(process)] == [b"", b"[anon:arena 1]", b""]
    assert process.open().query(addr(1)).entry.name == b"[anon:arena 1]"
    process.set_anon_name(addr(2), PAGE_SIZE, b"arena 1")
    assert [name for _, name in lines(process)] == [b"", b"[anon:arena 1]", b""]
    process.set_anon_name(addr(0), 4 * PAGE_SIZE, None)
    assert [name for _, name in lines(process)] == [b""]


def test_shared_memory_has_another_prefix(process: Pages) -> None:
    process.map(8, 9, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED)
    process.set_anon_name(addr(8), PAGE_SIZE, b"ring")
    assert lines(process)[-1][1] == b"[anon_shmem:ring]"


def test_the_heap_keeps_its_name(process: Pages) -> None:
    process.mm.start_brk, process.mm.brk = addr(0), addr(4)
    process.set_anon_name(addr(0), PAGE_SIZE, b"mine")
    assert lines(process)[0][1] == b"[heap]"


def test_a_new_mapping_does_not_merge_with_a_named_one(process: Pages) -> None:
    process.set_anon_name(addr(3), PAGE_SIZE, b"end")
    process.map(4, 5)
    assert len(lines(process)) == 3


@pytest.mark.parametrize(
    ("start", "length", "name", "number"),
    [
        (0, 1, b"tab\t", errno.EINVAL),
        (0, 1, b"a[b", errno.EINVAL),
        (0, 1, b"$", errno.EINVAL),
        (0, 1, b"x" * 80, errno.EINVAL),
        (1, 1, b"unaligned", errno.EINVAL),
        (0, 2**64 - 1, b"wraps", errno.EINVAL),
        (3 * PAGE_SIZE, 2 * PAGE_SIZE, b"hole", errno.ENOMEM),
        (20 * PAGE_SIZE, 1, b"nothing", errno.ENOMEM),
    ],
)
def test_what_is_refused(process: Pages, start: int, length: int, name: bytes, number: int) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        process.set_anon_name(addr(0) + start, length, name)
    assert caught.value.errno == number


def test_both_sides_of_a_hole_are_named_and_a_name_of_79_is_allowed(process: Pages) -> None:
    with pytest.raises(OSError, match="memory"):
        process.set_anon_name(addr(3), 2 * PAGE_SIZE, b"x" * 79)
    assert lines(process)[-1][1] == b"[anon:%s]" % (b"x" * 79)
    process.set_anon_name(addr(0), 0, b"no length, no effect")


def test_a_mapped_file_has_its_own_name(process: Pages) -> None:
    process.files[3] = VmFile(b"/tmp/f")
    process.map(8, 9, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd=3)
    with pytest.raises(OSError, match="descriptor") as caught:
        process.set_anon_name(addr(8), PAGE_SIZE, b"x")
    assert caught.value.errno == errno.EBADF


def test_a_split_at_the_limit_is_to_be_tried_again() -> None:
    process = Pages(limits=Limits(max_map_count=1))
    process.map(0, 3)
    with pytest.raises(BlockingIOError):
        process.set_anon_name(addr(1), PAGE_SIZE, b"x")
    assert process.mm.map_count == 1
    process.set_anon_name(addr(0), 3 * PAGE_SIZE, b"whole")
