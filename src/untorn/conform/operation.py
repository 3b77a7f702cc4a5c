"""Operations: what is done to both processes, one value each."""

from dataclasses import dataclass

SYSCALLS = {
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "mremap": 25,
    "madvise": 28,
    "munlock": 150,
    "mlockall": 151,
    "munlockall": 152,
    "mlock2": 325,
    "mseal": 462,
}
"""Numbers of x86-64. Source: arch/x86/entry/syscalls/syscall_64.tbl."""
ARGUMENTS = {
    "mmap": 6,
    "mprotect": 3,
    "munmap": 2,
    "brk": 1,
    "mremap": 5,
    "madvise": 3,
    "munlock": 2,
    "mlockall": 1,
    "munlockall": 0,
    "mlock2": 3,
    "mseal": 3,
    "touch_read": 1,
    "touch_write": 1,
    "set_anon_name": 3,
    "setrlimit": 2,
    "capset": 0,
    "fork": 0,
    "exit": 0,
    "orphan": 0,
    "crowd": 1,
}
"""All operations, and how many arguments each has."""
LIMITS = ("AS", "DATA", "MEMLOCK", "STACK")
"""Resource limits, by the number that setrlimit has for them here."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A system call, an access to memory, or a change of what the process is or may do.

    Attributes:
        name: Of SYSCALLS; or one of these:
            touch_read, touch_write: byte address.
            set_anon_name: prctl(PR_SET_VMA_ANON_NAME): byte address, length in bytes, number in
                minimal_elf.STRINGS or -1 for no name.
            setrlimit: number in LIMITS, soft limit in bytes or -1; it is done from outside.
            capset: makes all capabilities ineffective.
            fork: a copy goes on.
            exit: the copy ends, its parent goes on.
            orphan: the parents of the copy end.
            crowd: fills the address space with VMAs, so many less than max_map_count.
        arguments: As the call's, in its order; file descriptors are those of files.FDS.
    """

    name: str
    arguments: tuple[int, ...] = ()
