"""Memory of every kind that smaps distinguishes, made by the process that has it.

A child that does what it is told imports this: see populated.py.
"""

import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress

PAGE, PMD = 1 << 12, 1 << 21
SLOT = 2 * PMD
"""Size of a region in bytes: two slices."""
_RW, _READ = 3, 1
_SHARED, _PRIVATE, _FIXED, _ANONYMOUS, _NORESERVE = 0x01, 0x02, 0x10, 0x20, 0x4000
_DONTNEED, _FREE, _MERGEABLE, _HUGEPAGE, _NOHUGEPAGE, _GUARD_INSTALL = 4, 8, 12, 14, 15, 102
_PAGEOUT, _POPULATE_READ, _POPULATE_WRITE, _COLLAPSE = 21, 22, 23, 25
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_DONTUNMAP = 0x1 | 0x2 | 0x4

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = _libc.mremap.restype = ctypes.c_void_p
_libc.mmap.argtypes = ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long
_libc.munmap.argtypes = _libc.mlock.argtypes = ctypes.c_void_p, ctypes.c_size_t
_libc.madvise.argtypes = _libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_libc.mremap.argtypes = (
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int),
    ctypes.c_void_p,
)
_kept: list[object] = []
"""The files that are mapped."""


def _checked(result: int | None) -> int:
    if result in (-1, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result or 0


def put(
    at: int, size: int, prot: int = _RW, flags: int = _PRIVATE | _ANONYMOUS, fd: int = -1
) -> int:
    """Map memory at a byte address, over what is there; anywhere if the address is 0."""
    return _checked(_libc.mmap(at or None, size, prot, flags | (_FIXED if at else 0), fd, 0))


def advise(at: int, size: int, advice: int) -> None:
    _checked(_libc.madvise(at, size, advice))


def write(at: int, size: int, step: int = PAGE, byte: int = 1) -> None:
    """Write to pages, each `step` bytes after the one before."""
    for addr in range(at, at + size, step):
        ctypes.memset(addr, byte, 1)


def load(at: int, size: int, step: int = PAGE) -> None:
    """Read from pages."""
    for addr in range(at, at + size, step):
        ctypes.string_at(addr, 1)


def _small(at: int) -> None:
    put(at, SLOT)
    advise(at, SLOT, _NOHUGEPAGE)


def dense(at: int) -> None:
    """Anonymous memory, all present."""
    _small(at)
    write(at, SLOT)


def sparse(at: int) -> None:
    """Every third page."""
    _small(at)
    write(at, SLOT, 3 * PAGE)


def cut(at: int) -> None:
    """VMAs that begin and end inside slices, with no page between them."""
    _small(at)
    write(at, SLOT)
    for page in 3, 4, 100, 511, 700:
        _checked(_libc.mprotect(at + page * PAGE, PAGE, _READ))


def moved(at: int) -> None:
    """Pages that were moved so that they cross from one slice into the next."""
    _small(at)
    write(at, PMD // 2)
    _checked(_libc.mremap(at, PMD // 2, PMD // 2, _DONTUNMAP, at + PMD - 9 * PAGE))


def given_up(at: int) -> None:
    """Every second page freed by MADV_FREE, every fourth by MADV_DONTNEED."""
    dense(at)
    for page in range(0, SLOT, 4 * PAGE):
        advise(at + page, PAGE, _FREE)
        advise(at + page + PAGE, PAGE, _DONTNEED)


def zeros(at: int) -> None:
    """Zero pages, in the whole first slice."""
    _small(at)
    load(at, PMD)
    write(at + PMD, PMD // 2, 2 * PAGE)
    load(at + PMD, PMD // 2)


def huge(at: int) -> None:
    put(at, SLOT)
    advise(at, SLOT, _HUGEPAGE)
    write(at, SLOT, PMD)


def cut_huge(at: int) -> None:
    """Huge pages, one page of which has other permissions, so that it is a VMA of its own."""
    huge(at)
    _checked(_libc.mprotect(at + 300 * PAGE, PAGE, _READ))


def huge_zeros(at: int) -> None:
    put(at, SLOT)
    advise(at, SLOT, _HUGEPAGE)
    load(at, SLOT, PMD)


def beside_huge(at: int) -> None:
    """A huge page between small ones, in one VMA."""
    _small(at - PMD)
    put(at, PMD)
    advise(at, PMD, _HUGEPAGE)
    write(at, PMD, PMD)
    _small(at + PMD)
    write(at - PMD, PMD, 7 * PAGE)
    write(at + PMD, PMD, 2 * PAGE)
    advise(at - PMD, 3 * PMD, _HUGEPAGE)


def guards(at: int) -> None:
    """Guard pages in one VMA, and across the border of two."""
    _small(at)
    write(at, SLOT, 5 * PAGE)
    _checked(_libc.mprotect(at + PMD + 8 * PAGE, PAGE, _READ))
    for page, pages in (3, 10), (512, 16):
        advise(at + page * PAGE, pages * PAGE, _GUARD_INSTALL)


def shared(at: int) -> None:
    """Shared anonymous memory that a child has, too."""
    put(at, SLOT, _RW, _SHARED | _ANONYMOUS)
    write(at, SLOT, 2 * PAGE)


def in_memory(at: int) -> None:
    """A memfd that is mapped twice."""
    fd = os.memfd_create("twice")
    os.ftruncate(fd, PMD)
    put(at, PMD, _RW, _SHARED, fd)
    put(at + PMD, PMD, _RW, _SHARED, fd)
    write(at, PMD // 2)
    write(at + PMD, PMD, 3 * PAGE)
    os.close(fd)


def on_a_disk(at: int) -> None:
    """A file of our own, mapped shared and private, with some pages written."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (it is mapped to the end)
    file.truncate(PMD)
    put(at, PMD, _RW, _SHARED, file.fileno())
    put(at + PMD, PMD, _RW, _PRIVATE, file.fileno())
    write(at, PMD // 2, 2 * PAGE)
    load(at, PMD // 2)
    load(at + PMD, PMD)
    write(at + PMD, PMD, 4 * PAGE)
    _kept.append(file)


def program(at: int) -> None:
    """The file of a program that other processes map."""
    with open(sys.executable, "rb") as file:  # noqa: PTH123 (a Path takes an import)
        put(at, PMD, _RW, _PRIVATE, file.fileno())
        size = min(os.fstat(file.fileno()).st_size & -PAGE, PMD)
    load(at, size)
    write(at, size, 9 * PAGE)


def locked(at: int) -> None:
    _small(at)
    _checked(_libc.mlock(at, 8 * PAGE))
    write(at, SLOT, 2 * PAGE)


def reserved(at: int) -> None:
    """A page here and there in a terabyte, beside a terabyte without any."""
    with_pages = put(0, 1 << 40, _RW, _PRIVATE | _ANONYMOUS | _NORESERVE)
    write(with_pages, 1 << 40, 1 << 36)
    put(0, 1 << 40, 0, _PRIVATE | _ANONYMOUS | _NORESERVE)


def mergeable(at: int) -> None:
    """Equal pages, for KSM."""
    _small(at)
    advise(at, SLOT, _MERGEABLE)
    write(at, PMD, PAGE, 7)


def mixed(slices: int) -> int:
    """Make one VMA of slices that are full, sparse, huge or empty; return its byte address."""
    at = (put(0, (slices + 2) * PMD, _RW, _PRIVATE | _ANONYMOUS | _NORESERVE) + PMD) & -PMD
    for number in range(slices):
        addr, kind = at + number * PMD, number * 5 % 7
        advise(addr, PMD, _HUGEPAGE if kind == 0 else _NOHUGEPAGE)
        if kind < 5:
            write(addr, PMD, (PMD, PAGE, 2 * PAGE, 50 * PAGE, PAGE)[kind])
    return at


def page_out(at: int, size: int) -> None:
    """Make the kernel swap pages out, as far as it will."""
    advise(at, size, _PAGEOUT)


KINDS: dict[str, Callable[[int], None]] = {
    each.__name__: each
    for each in (
        *(
            dense,
            sparse,
            cut,
            moved,
            given_up,
            zeros,
            huge,
            cut_huge,
            huge_zeros,
            beside_huge,
            guards,
        ),
        *(shared, in_memory, on_a_disk, program, locked, reserved),
    )
}


def make(kind: str) -> int:
    """Make a region with a reservation on each side; return its byte address."""
    at = put(0, SLOT + 4 * PMD, 0, _PRIVATE | _ANONYMOUS | _NORESERVE)
    aligned = (at + 2 * PMD - 1) & -PMD
    globals()[kind](aligned)
    return aligned


def unshare(at: int) -> None:
    """Write and unmap pages of the first slice; unmap a part of a huge page in the second."""
    write(at + 16 * PAGE, PMD // 2, 5 * PAGE)
    _checked(_libc.munmap(at + PMD, 10 * PAGE))
    advise(at + PMD + 100 * PAGE, 20 * PAGE, _DONTNEED)


ACTS: dict[str, Callable[[int, int], object]] = {
    "give up": lambda at, size: advise(at, size, _DONTNEED),
    "free": lambda at, size: advise(at, size, _FREE),
    "collapse": lambda at, size: advise(at, size, _COLLAPSE),
    "no huge": lambda at, size: advise(at, size, _NOHUGEPAGE),
    "guard": lambda at, size: advise(at, size, _GUARD_INSTALL),
    "unmap": lambda at, size: _checked(_libc.munmap(at, size)),
    "protect": lambda at, size: _checked(_libc.mprotect(at, size, _READ)),
    "reserve": lambda at, size: put(at, size, 0, _PRIVATE | _ANONYMOUS | _NORESERVE),
    "fill": lambda at, size: advise(at, size, _POPULATE_WRITE),
    "look": lambda at, size: advise(at, size, _POPULATE_READ),
}
"""What may be done to pages from a byte address on."""


def attempt(act: str, at: int, size: int) -> None:
    """Make the change, unless the kernel refuses."""
    with suppress(OSError):
        ACTS[act](at, size)


def fork(change: Callable[[], object]) -> int:
    """Fork a copy that makes a change and then waits; return its PID."""
    done, tell = os.pipe()
    pid = os.fork()
    if not pid:
        change()  # perhaps of the user, which would undo the next line
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.write(tell, b".")
        while True:
            signal.pause()
    os.close(tell)
    with open(done, "rb") as told:  # noqa: PTH123 (a descriptor has no Path)
        assert told.read(1), "the copy ended"
    return pid


def be_seen() -> None:
    """Let processes with no more rights than this one look at it, though it dropped some."""
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
