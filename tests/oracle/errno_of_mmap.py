"""What mmap refuses, and with which errno.

Every row is true of the engine and of the running kernel.
"""

from errno import (
    EACCES,
    EAGAIN,
    EBADF,
    EEXIST,
    EINVAL,
    ENODEV,
    ENOMEM,
    EOPNOTSUPP,
    EOVERFLOW,
    EPERM,
)

from tests.oracle.rows import EMPTY_POOL, FOUR_LEVELS, GUESSING, RIGHT_TO_LOCK, row
from tests.oracle.worlds import ANONYMOUS, CAP_IPC_LOCK, CAP_SYS_RAWIO, RW, Bounds
from untorn.conform.traced.bounds import memory_pages
from untorn.maps.page import PAGE_SIZE, TASK_SIZE, ULONG_MAX
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGE_2MB,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_SYNC,
    PROT_EXEC,
    PROT_GROWSDOWN,
    PROT_GROWSUP,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)

P = PAGE_SIZE
FIXED = ANONYMOUS | MAP_FIXED
NOREPLACE = ANONYMOUS | MAP_FIXED_NOREPLACE
HUGE = ANONYMOUS | MAP_HUGETLB
LOCKED = ANONYMOUS | MAP_LOCKED
SHARED_ANONYMOUS = MAP_SHARED | MAP_ANONYMOUS
UNKNOWN_FLAG = 1 << 24
UNKNOWN_PROT = 0x40
TOO_MUCH = (memory_pages() + 1) * P
"""Bytes; more than one mapping may promise while the kernel guesses."""
LAST_OFFSET = (1 << 63) - P
"""Bytes; where the last page of the largest file would be."""
UNLOCKABLE = Bounds(memlock=0, without=CAP_IPC_LOCK)
ONE_LOCKED = Bounds(memlock=P, without=CAP_IPC_LOCK)
NO_RAWIO = Bounds(without=CAP_SYS_RAWIO)

MMAP_ARGUMENTS = [
    row(EINVAL, "offset not aligned", offset=1),
    row(EINVAL, "offset not aligned, no such fd", flags=MAP_PRIVATE, offset=1),
    row(EBADF, "no such fd", flags=MAP_PRIVATE, fd=999),
    row(EBADF, "no such fd, length 0", flags=MAP_PRIVATE, fd=999, length=0),
    row(EINVAL, "huge pages of a plain file", file="ro", flags=MAP_PRIVATE | MAP_HUGETLB),
    row(EINVAL, "huge pages, length 0", length=0, flags=HUGE),
    row(EINVAL, "huge pages of 8 KiB", flags=HUGE | 13 << 26),
    row(ENOMEM, "huge pages, none in the pool", flags=HUGE, needs=EMPTY_POOL),
    row(ENOMEM, "huge pages of 2 MiB", flags=HUGE | MAP_HUGE_2MB, needs=EMPTY_POOL),
    row(EINVAL, "length 0", length=0),
    row(ENOMEM, "length rounds to 0", length=ULONG_MAX),
    row(EINVAL, "anonymous without a type", flags=MAP_ANONYMOUS),
    row(EINVAL, "anonymous of an unknown type", flags=MAP_ANONYMOUS | 0x4),
    row(EINVAL, "anonymous, shared and validated", flags=MAP_ANONYMOUS | MAP_SHARED_VALIDATE),
    row(EINVAL, "file without a type", file="rw", flags=0),
    row(EINVAL, "file of an unknown type", file="rw", flags=0x4),
    row(EINVAL, "droppable file", file="rw", flags=MAP_DROPPABLE),
    row(EINVAL, "droppable and locked", flags=MAP_ANONYMOUS | MAP_DROPPABLE | MAP_LOCKED),
    row(EINVAL, "droppable stack", flags=MAP_ANONYMOUS | MAP_DROPPABLE | MAP_GROWSDOWN),
    row(EINVAL, "shared stack", flags=SHARED_ANONYMOUS | MAP_GROWSDOWN),
    row(EINVAL, "stack of a file", file="rw", flags=MAP_PRIVATE | MAP_GROWSDOWN),
    row(EOVERFLOW, "file offset past the last page", file="ro", length=P + 1, offset=LAST_OFFSET),
    row(0, "file offset on the last page but one", file="ro", offset=LAST_OFFSET - P),
    row(0, "anonymous with a bad fd", fd=999),
    row(0, "anonymous with an offset", offset=1 << 40),
    row(0, "unknown prot bits", prot=PROT_READ | UNKNOWN_PROT | PROT_GROWSUP | PROT_GROWSDOWN),
    row(0, "unknown flags", flags=ANONYMOUS | UNKNOWN_FLAG | MAP_SYNC),
]

MMAP_ADDRESS = [
    row(ENOMEM, "length above TASK_SIZE", length=TASK_SIZE + 1, prot=PROT_NONE, needs=FOUR_LEVELS),
    row(ENOMEM, "no hole so large", length=TASK_SIZE, prot=PROT_NONE, needs=FOUR_LEVELS),
    row(ENOMEM, "fixed above TASK_SIZE", addr=TASK_SIZE, flags=FIXED, needs=FOUR_LEVELS),
    row(
        ENOMEM,
        "fixed above TASK_SIZE and not aligned",
        addr=TASK_SIZE + 1,
        flags=FIXED,
        needs=FOUR_LEVELS,
    ),
    row(ENOMEM, "fixed with five levels", addr=1 << 55, flags=FIXED, needs=FOUR_LEVELS),
    row(ENOMEM, "fixed at the top of 64 bits", addr=-P & ULONG_MAX, flags=FIXED),
    row(
        ENOMEM,
        "fixed across TASK_SIZE",
        addr=TASK_SIZE - P,
        length=2 * P,
        flags=FIXED,
        needs=FOUR_LEVELS,
    ),
    row(EINVAL, "fixed, not aligned", page=0, addr=1, flags=FIXED),
    row(EINVAL, "not to replace, not aligned", page=0, addr=1, flags=NOREPLACE),
    row(EPERM, "fixed at 0 without CAP_SYS_RAWIO", addr=0, flags=FIXED, bounds=NO_RAWIO),
    row(EPERM, "not to replace at 0", addr=0, flags=NOREPLACE, bounds=NO_RAWIO),
    row(EEXIST, "not to replace what is there", "W", page=0, flags=NOREPLACE),
    row(EEXIST, "not to replace its head", ".W", page=0, length=2 * P, flags=NOREPLACE),
    row(EEXIST, "not to replace its tail", "WW", page=1, length=2 * P, flags=NOREPLACE),
    row(EEXIST, "in the way and of no type", "W", page=0, flags=NOREPLACE & ~MAP_PRIVATE),
    row(0, "not to replace, between neighbours", "W.W", page=1, flags=NOREPLACE),
    row(0, "fixed and not to replace, in a hole", page=0, flags=NOREPLACE | MAP_FIXED),
    row(EEXIST, "fixed and not to replace", "W", page=0, flags=NOREPLACE | MAP_FIXED),
    row(EPERM, "over a sealed page", "S", page=0, flags=FIXED),
    row(EPERM, "over sealed and others", "WSW", page=0, length=3 * P, flags=FIXED),
    row(EPERM, "over the tail of sealed", "SSS", page=2, flags=FIXED),
    row(EEXIST, "not to replace a sealed page", "S", page=0, flags=NOREPLACE),
    row(0, "hint at a sealed page", "S", page=0),
]

MMAP_FILE = [
    row(EACCES, "private of a file not readable", file="wo"),
    row(EACCES, "shared of a file not readable", file="wo", flags=MAP_SHARED, prot=PROT_WRITE),
    row(EACCES, "shared and written, not writable", file="ro", flags=MAP_SHARED, prot=RW),
    row(0, "private and written, not writable", file="ro", prot=RW),
    row(0, "shared and read, not writable", file="ro", flags=MAP_SHARED),
    row(
        EACCES, "validated and written, not writable", file="ro", flags=MAP_SHARED_VALIDATE, prot=RW
    ),
    row(EPERM, "executed where nothing may be", file="noexec, no mmap", prot=PROT_EXEC),
    row(ENODEV, "file without mmap", file="noexec, no mmap"),
    row(ENODEV, "directory", file="directory"),
    row(ENODEV, "stack of a directory", file="directory", flags=MAP_PRIVATE | MAP_GROWSDOWN),
    row(EACCES, "directory, shared and written", file="directory", flags=MAP_SHARED, prot=RW),
    row(EOPNOTSUPP, "unknown flag", file="rw", flags=MAP_SHARED_VALIDATE | UNKNOWN_FLAG),
    row(EOPNOTSUPP, "synchronous", file="rw", flags=MAP_SHARED_VALIDATE | MAP_SYNC),
    row(
        EOPNOTSUPP,
        "directory, validated and synchronous",
        file="directory",
        flags=MAP_SHARED_VALIDATE | MAP_SYNC,
    ),
    row(ENODEV, "directory, from past the last page of a file", file="directory", offset=1 << 63),
    row(
        EOPNOTSUPP,
        "not to replace, validated",
        page=0,
        file="rw",
        flags=MAP_SHARED_VALIDATE | MAP_FIXED_NOREPLACE,
    ),
    row(
        EOPNOTSUPP,
        "unknown flag, validated and written, not writable",
        file="ro",
        flags=MAP_SHARED_VALIDATE | UNKNOWN_FLAG,
        prot=RW,
    ),
    row(0, "unknown flag, not validated", file="rw", flags=MAP_SHARED | UNKNOWN_FLAG),
    row(0, "old flags, validated", file="rw", flags=MAP_SHARED_VALIDATE | MAP_NORESERVE),
    row(0, "size of huge pages, validated", file="rw", flags=MAP_SHARED_VALIDATE | MAP_HUGE_2MB),
]

MMAP_APPEND_ONLY = [
    row(EACCES, "append-only, shared", file="append", flags=MAP_SHARED),
    row(0, "append-only, private", file="append"),
    row(0, "append-only, shared, not writable", file="append ro", flags=MAP_SHARED),
]

MMAP_LIMITS = [
    row(EPERM, "locked, limit 0", flags=LOCKED, bounds=UNLOCKABLE),
    row(EAGAIN, "locked above the limit", length=2 * P, flags=LOCKED, bounds=ONE_LOCKED),
    row(0, "locked at the limit", flags=LOCKED, bounds=ONE_LOCKED),
    row(
        0,
        "locked with CAP_IPC_LOCK, limit 0",
        flags=LOCKED,
        bounds=Bounds(memlock=0),
        needs=RIGHT_TO_LOCK,
    ),
    row(
        EEXIST,
        "in the way and locked",
        "W",
        page=0,
        flags=NOREPLACE | MAP_LOCKED,
        bounds=UNLOCKABLE,
    ),
    row(ENOMEM, "RLIMIT_AS", length=65 * P, bounds=Bounds(more_pages=64)),
    row(ENOMEM, "RLIMIT_AS, no net growth", "W", page=0, flags=FIXED, bounds=Bounds(more_pages=-1)),
    row(0, "at RLIMIT_AS, no net growth", "W", page=0, flags=FIXED, bounds=Bounds(more_pages=0)),
    row(ENOMEM, "RLIMIT_DATA", length=65 * P, bounds=Bounds(more_data_pages=64)),
    row(ENOMEM, "RLIMIT_DATA of a page", length=2 * P, bounds=Bounds(data=P)),
    row(0, "RLIMIT_DATA of 0: the hard limit counts", bounds=Bounds(data=0)),
    row(0, "RLIMIT_DATA, read-only", prot=PROT_READ, bounds=Bounds(more_data_pages=-1)),
    row(0, "RLIMIT_DATA, shared", flags=SHARED_ANONYMOUS, bounds=Bounds(more_data_pages=-1)),
    row(
        0, "RLIMIT_DATA, stack", flags=ANONYMOUS | MAP_GROWSDOWN, bounds=Bounds(more_data_pages=-1)
    ),
    row(ENOMEM, "RLIMIT_DATA, file", file="ro", prot=RW, bounds=Bounds(more_data_pages=-1)),
    row(ENOMEM, "more than there is", length=TOO_MUCH, needs=GUESSING),
    row(
        ENOMEM, "more than there is, of a file", file="ro", prot=RW, length=TOO_MUCH, needs=GUESSING
    ),
    row(0, "more than there is, read-only", length=TOO_MUCH, prot=PROT_READ),
    row(0, "more than there is, no reserve", length=TOO_MUCH, flags=ANONYMOUS | MAP_NORESERVE),
    row(0, "more than there is, droppable", length=TOO_MUCH, flags=MAP_ANONYMOUS | MAP_DROPPABLE),
]
