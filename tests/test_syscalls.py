"""Arguments as a program passes them: what a register cannot hold is taken modulo 2**64."""

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
