"""The system calls that are stopped at, and what becomes of each.

Source: arch/x86/entry/syscalls/syscall_{64,32}.tbl; include/uapi/linux/prctl.h, userfaultfd.h.
"""

from untorn.conform.operation import ARGUMENTS as OF_OPERATIONS
from untorn.conform.operation import Operation

MODELLED = {
    9: "mmap",
    10: "mprotect",
    11: "munmap",
    12: "brk",
    25: "mremap",
    28: "madvise",
    30: "shmat",
    67: "shmdt",
    149: "mlock",
    150: "munlock",
    151: "mlockall",
    152: "munlockall",
    237: "mbind",
    325: "mlock2",
    450: "set_mempolicy_home_node",
    462: "mseal",
}
"""Made in the engine, too."""
NOT_MODELLED = {
    206: "io_setup",
    207: "io_destroy",
    216: "remap_file_pages",
    329: "pkey_mprotect",
    440: "process_madvise",
    453: "map_shadow_stack",
}
"""What they did is taken from the kernel's maps."""
FORKS = {56: "clone", 57: "fork", 58: "vfork", 435: "clone3"}
FORKS_OF_32_BITS = {2: "fork", 120: "clone", 190: "vfork", 435: "clone3"}
"""Of the calls of 32 bits only these are stopped at, to know what each new thread is."""
BOUNDS = {
    105: "setuid",
    113: "setreuid",
    117: "setresuid",
    126: "capset",
    135: "personality",
    160: "setrlimit",
    272: "unshare",
    302: "prlimit64",
    308: "setns",
}
"""They change no mapping, but what bounds later calls."""
MDWE = "prctl(PR_SET_MDWE)"
PRCTL, IOCTL, PTRACE = 157, 16, 101
PTRACE_TRACEME = 0
PR_SET_MM, PR_SET_MDWE, PR_SET_MEMORY_MERGE, PR_SET_VMA = 35, 65, 67, 0x5356_4D41
MERGE_ANY = "prctl(PR_SET_MEMORY_MERGE)"
PRCTL_OPTIONS = {
    PR_SET_MM: "prctl(PR_SET_MM)",
    PR_SET_MDWE: MDWE,
    PR_SET_MEMORY_MERGE: MERGE_ANY,
    PR_SET_VMA: "set_anon_name",
}
"""By their first argument."""
IOCTLS = {0xC020AA00: "ioctl(UFFDIO_REGISTER)", 0x8010AA01: "ioctl(UFFDIO_UNREGISTER)"}
"""By their second argument."""
ARGUMENTS = {name: OF_OPERATIONS[name] for name in MODELLED.values()} | {
    "mbind": 6,  # with maxnode, which an operation has not
    "set_anon_name": 5,  # as prctl(2) has them
}
"""How many arguments each call has that the engine makes."""
_INTS = {
    "mmap": (4,),
    "madvise": (2,),
    "mlock2": (2,),
    "mlockall": (0,),
    "shmat": (0, 2),
    "mbind": (2, 5),
}
"""Which of them are of type int, in the low half of a register."""
CHANGE_BOUNDS = frozenset((*BOUNDS.values(), MDWE))
"""Names of all calls that change what bounds later ones, and nothing else."""
_NAMES = MODELLED | NOT_MODELLED | FORKS | BOUNDS
NUMBERS = frozenset(_NAMES)
"""Of calls that are stopped at whatever their arguments are."""
_INT, _LONG = 1 << 32, 1 << 64


def name_of(number: int, arguments: tuple[int, ...]) -> str | None:
    """Return the name of a call of x86-64; None if it does not matter."""
    if number == PRCTL:
        return PRCTL_OPTIONS.get(arguments[0] % _INT)
    if number == IOCTL:
        return IOCTLS.get(arguments[1] % _INT)
    return _NAMES.get(number)


def operation_of(number: int, registers: tuple[int, ...]) -> Operation | None:
    """Return a call with its arguments as the kernel takes them; None if it does not matter."""
    name = name_of(number, registers)
    if name is None:
        return None
    ints = _INTS.get(name, ())
    arguments = registers[: ARGUMENTS.get(name, len(registers))]
    return Operation(
        name,
        tuple(_int(value) if n in ints else value % _LONG for n, value in enumerate(arguments)),
    )


def fork_of_32_bits(number: int, registers: tuple[int, ...]) -> Operation | None:
    """Return a call of 32 bits that makes a thread or process; None if it is another one."""
    name = FORKS_OF_32_BITS.get(number)
    return None if name is None else Operation(name, registers)


def _int(value: int) -> int:
    return (value + _INT // 2) % _INT - _INT // 2
