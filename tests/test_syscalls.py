"""What Process makes of arguments; a register holds numbers modulo 2**64."""

import errno
from collections.abc import Callable

import pytest

from tests.helpers.engine import FIXED, RW, Pages, addr
from untorn.mm.file import VmFile
from untorn.mm.mman import MAP_PRIVATE

CALLS: dict[str, tuple[Callable[[Pages], object], int]] = {
    "munmap of a negative length": (lambda p: p.munmap(addr(0), -4096), errno.EINVAL),
    "munmap from below 0": (lambda p: p.munmap(-4096, 1 << 20), errno.EINVAL),
    "mprotect from below 0": (lambda p: p.mprotect(-4096, 1 << 20, RW), errno.ENOMEM),
    "mseal of a negative length": (lambda p: p.mseal(addr(0), -4096), errno.EINVAL),
    "mmap of a negative length": (lambda p: p.mmap(0, -4096, RW, FIXED), errno.ENOMEM),
    "mmap at a negative address": (lambda p: p.mmap(-4096, 4096, RW, FIXED), errno.ENOMEM),
    "mmap of a file from below 0": (
        lambda p: p.mmap(0, 4096, RW, MAP_PRIVATE, 3, -4096),
        errno.EOVERFLOW,
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_negative_number_is_a_huge_one_as_in_c(name: str) -> None:
    call, number = CALLS[name]
    process = Pages()
    process.files[3] = VmFile(b"/file")
    process.map(0, 1)
    process.map(2, 3)
    with pytest.raises(OSError, match=r".") as caught:
        call(process)
    assert caught.value.errno == number
    assert process.diagram(4) == "A.B."


def test_what_cannot_be_opened_is_refused_with_what_can() -> None:
    process = Pages()
    with pytest.raises(ValueError, match=r"^no file smap; files: maps, smaps, smaps_rollup, numa"):
        process.open("smap")
    with pytest.raises(ValueError, match=r"^no reader mmap; readers: mmap_lock, vma_lock, rcu$"):
        process.open("maps", "mmap")
    assert process.mm.mm_count.load() == 1


def test_a_fork_is_what_its_parent_is_and_opens_files_of_its_own() -> None:
    process = Pages()
    process.files[3] = VmFile(b"/file")
    process.proc.ptrace_allowed = False
    child = process.fork()
    child.files[4] = child.files.pop(3)
    assert type(child) is Pages
    assert list(process.files) == [3]
    assert child.proc.ptrace_allowed
