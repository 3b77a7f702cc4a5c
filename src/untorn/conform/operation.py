"""Operations: what is done to both processes, one value each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from untorn.maps.page import PAGE_SIZE
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    PROT_NONE,
    PROT_READ,
)

SYSCALLS = {
    "mmap": 6,
    "mprotect": 3,
    "munmap": 2,
    "brk": 1,
    "mremap": 5,
    "madvise": 3,
    "mlock": 2,
    "munlock": 2,
    "mlockall": 1,
    "munlockall": 0,
    "mlock2": 3,
    "mseal": 3,
    "mbind": 5,
    "set_mempolicy": 2,
    "set_mempolicy_home_node": 4,
    "msync": 3,
    "shmdt": 1,
}
"""System calls, and how many arguments each has."""
POLICY_CALLS = "mbind", "set_mempolicy", "set_mempolicy_home_node"
ARGUMENTS = SYSCALLS | {
    "ftruncate": 2,
    "mincore": 3,
    "shmat": 3,
    "touch_read": 1,
    "touch_write": 1,
    "set_anon_name": 3,
    "setrlimit": 2,
    "capset": 0,
    "open_file": 5,
    "start_brk": 1,
    "smaps": 0,
    "fork": 0,
    "exit": 0,
    "orphan": 0,
    "crowd": 1,
}
"""All operations, and how many arguments each has."""
LIMITS = ("AS", "DATA", "MEMLOCK", "STACK")
"""Resource limits; setrlimit refers to them here by their index."""
ON_DISK, IN_MEMORY = 0, 1
"""Where a file of open_file is: on ext4 or xfs, or in a memfd."""
CROWD = 0x9000_0000
"""Byte address at which the VMAs of a crowd begin, in processes of any word size."""
CROWD_END = CROWD + (1 << 29)
_LARGEST_CROWD = 1 << 17
_CROWD_FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE


@dataclass(frozen=True, slots=True)
class Operation:
    """A system call, a memory access, or a change of what the process is or may do.

    Attributes:
        name: Of SYSCALLS; or one of these:
            ftruncate: As the call's; the file has its first size again in the next script.
            mincore: As the call's; it returns a bit for each page, the lowest for the first.
            shmat: number in segments.SEGMENT_NUMBERS, byte address, SHM_* bits.
            touch_read, touch_write: byte address.
            set_anon_name: prctl(PR_SET_VMA_ANON_NAME): byte address, length in bytes, number in
                minimal_elf.STRINGS or -1 for no name.
            setrlimit: number in LIMITS, soft limit in bytes or -1; it is set from outside.
            capset: makes all capabilities ineffective.
            open_file: opens a file that only this script has: its descriptor, the file's number,
                its least size in bytes, O_RDONLY or others, and where it is: ON_DISK, where
                mappings are aligned with huge pages, or IN_MEMORY.
            start_brk: makes the heap begin, and end, at a byte address.
            smaps: does nothing; smaps is also compared after it.
            fork: the copy makes the calls from now on.
            exit: the copy ends, and its parent goes on.
            orphan: all ancestors of the copy end.
            crowd: fills the address space with VMAs; how many are left to max_map_count.
        arguments: The call's, in its order; file descriptors are those of files.FDS. A set of NUMA
            nodes is given as bits, and is one of minimal_elf.NODEMASKS.
    """

    name: str
    arguments: tuple[int, ...] = ()


def bits_of(found: Iterable[int]) -> int:
    """Return a number with one bit per value, set if the value is odd; the first is the lowest."""
    return sum((each & 1) << number for number, each in enumerate(found))


def calls_of(mm: MmStruct, operation: Operation) -> list[Operation]:
    """Return the calls of an operation: itself, unless it is a crowd."""
    return list(crowd(mm, *operation.arguments)) if operation.name == "crowd" else [operation]


def crowd(mm: MmStruct, room: int) -> Iterator[Operation]:
    """Yield the calls after which room VMAs are left to the limit; each page becomes a VMA."""
    pages = mm.limits.max_map_count - mm.map_count - room
    if pages < 1:
        return
    yield Operation("mmap", (CROWD, pages * PAGE_SIZE, PROT_NONE, _CROWD_FLAGS, -1, 0))
    for page in range(1, pages, 2):
        yield Operation("mprotect", (CROWD + page * PAGE_SIZE, PAGE_SIZE, PROT_READ))


def crowd_takes_too_long(mm: MmStruct) -> bool:
    """Return whether max_map_count is too large for a run to reach it."""
    return mm.limits.max_map_count > _LARGEST_CROWD
