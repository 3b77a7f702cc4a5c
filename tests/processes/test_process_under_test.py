"""The system calls of this very process, on memory that the test maps."""

import errno
import os
from collections.abc import Callable, Iterator

import pytest

from untorn.maps.entry import MapsEntry
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.processes.process_under_test import ThisProcess
from untorn.reader.access.live_maps_file import LiveMapsFile

pytestmark = pytest.mark.live
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
PAGES = 8
MADV_DONTNEED, UNKNOWN_ADVICE = 4, 1000
process = ThisProcess()


@pytest.fixture
def base() -> Iterator[int]:
    """Eight pages with PROT_NONE: a test may do anything between the first and the last."""
    start = process.mmap(0, PAGES * PAGE_SIZE, PROT_NONE, ANONYMOUS)
    yield start
    process.munmap(start, PAGES * PAGE_SIZE)


def vma_at(addr: int) -> MapsEntry:
    with LiveMapsFile(os.getpid()) as file:
        return file.query(addr).entry


def test_each_call_changes_the_map_as_linux_does(base: int) -> None:
    second, fourth = base + PAGE_SIZE, base + 3 * PAGE_SIZE
    assert process.mmap(second, PAGE_SIZE, PROT_READ, ANONYMOUS | MAP_FIXED) == second
    assert (vma_at(second).start, vma_at(second).end) == (second, second + PAGE_SIZE)
    process.mprotect(second, PAGE_SIZE, PROT_READ | PROT_WRITE)
    assert vma_at(second).permissions == PROT_READ | PROT_WRITE
    process.madvise(second, PAGE_SIZE, MADV_DONTNEED)
    fixed = MREMAP_MAYMOVE | MREMAP_FIXED
    assert process.mremap(second, PAGE_SIZE, PAGE_SIZE, fixed, fourth) == fourth
    assert vma_at(fourth).permissions == PROT_READ | PROT_WRITE
    process.munmap(fourth, PAGE_SIZE)
    with pytest.raises(OSError, match="No such file"):
        vma_at(fourth)


@pytest.mark.parametrize(
    ("call", "number"),
    [
        (lambda base: process.mmap(base, 0, PROT_READ, ANONYMOUS), errno.EINVAL),
        (lambda base: process.mmap(0, PAGE_SIZE, PROT_READ, MAP_PRIVATE, -1), errno.EBADF),
        (lambda base: process.munmap(base + 1, PAGE_SIZE), errno.EINVAL),
        (lambda base: process.munmap(-PAGE_SIZE, PAGE_SIZE), errno.EINVAL),
        (lambda base: process.mprotect(1 << 46, PAGE_SIZE, PROT_NONE), errno.ENOMEM),
        (lambda base: process.mremap(base, PAGE_SIZE, 0), errno.EINVAL),
        (lambda base: process.madvise(base, PAGE_SIZE, UNKNOWN_ADVICE), errno.EINVAL),
    ],
    ids=["mmap", "mmap of no file", "munmap", "munmap at the top", "mprotect", "mremap", "madvise"],
)
def test_a_call_that_fails_raises_linux_errno(
    base: int, call: Callable[[int], object], number: int
) -> None:
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        call(base)
    assert caught.value.errno == number
