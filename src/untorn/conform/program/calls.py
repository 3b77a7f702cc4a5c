"""The system calls at which we stop a program, and what we do with each.

Source: arch/x86/entry/syscalls/syscall_{64,32}.tbl; include/uapi/linux/prctl.h, userfaultfd.h,
ipc.h.
"""

from dataclasses import dataclass

from untorn.conform.operation import ARGUMENTS as OF_OPERATIONS
from untorn.conform.operation import Operation
from untorn.conform.traced.abi import I386

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
"""Also made in the engine."""
NOT_MODELLED = {
    206: "io_setup",
    207: "io_destroy",
    216: "remap_file_pages",
    329: "pkey_mprotect",
    440: "process_madvise",
    453: "map_shadow_stack",
}
"""Their effect is taken from the kernel's maps."""
FORKS = {56: "clone", 57: "fork", 58: "vfork", 435: "clone3"}
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
"""They change no mapping, but the limits of later calls."""
MDWE = "prctl(PR_SET_MDWE)"
PTRACE_TRACEME = 0
PR_SET_MM, PR_SET_MDWE, PR_SET_MEMORY_MERGE, PR_SET_VMA = 35, 65, 67, 0x5356_4D41
MERGE_ANY = "prctl(PR_SET_MEMORY_MERGE)"
PRCTL_OPTIONS = {
    PR_SET_MM: "prctl(PR_SET_MM)",
    PR_SET_MDWE: MDWE,
    PR_SET_MEMORY_MERGE: MERGE_ANY,
    PR_SET_VMA: "set_anon_name",
}
IOCTLS = {0xC020AA00: "ioctl(UFFDIO_REGISTER)", 0x8010AA01: "ioctl(UFFDIO_UNREGISTER)"}
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
"""Which of these are of type int, in the low half of a register."""
CHANGE_BOUNDS = frozenset((*BOUNDS.values(), MDWE))
"""Names of all calls that change the limits of later ones, and nothing else."""
_INT, _LONG = 1 << 32, 1 << 64


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of one ABI, by number.

    Attributes:
        names: Names of the calls to stop at, whatever their arguments.
        by_argument: Of other calls: the deciding argument, from 0, and names by its low half.
        ptrace: The number of ptrace.
    """

    names: dict[int, str]
    by_argument: dict[int, tuple[int, dict[int, str]]]
    ptrace: int

    def name_of(self, number: int, registers: tuple[int, ...]) -> str | None:
        """Return the name of a call; None if it is irrelevant."""
        if number in self.by_argument:
            position, names = self.by_argument[number]
            return names.get(registers[position] % _INT)
        return self.names.get(number)


OF_64_BITS = Calls(
    names=MODELLED | NOT_MODELLED | FORKS | BOUNDS,
    by_argument={157: (0, PRCTL_OPTIONS), 16: (1, IOCTLS)},
    ptrace=101,
)
OF_32_BITS = Calls(
    names={I386.numbers[name]: name for name in MODELLED.values()}
    | {
        2: "fork",
        120: "clone",
        190: "vfork",
        435: "clone3",
        90: "mmap",
        245: "io_setup",
        246: "io_destroy",
        257: "remap_file_pages",
        380: "pkey_mprotect",
        440: "process_madvise",
        453: "map_shadow_stack",
        23: "setuid",
        70: "setreuid",
        164: "setresuid",
        185: "capset",
        213: "setuid",
        203: "setreuid",
        208: "setresuid",
        136: "personality",
        75: "setrlimit",
        310: "unshare",
        340: "prlimit64",
        346: "setns",
    },
    by_argument={
        172: (0, PRCTL_OPTIONS),
        54: (1, IOCTLS),
        117: (0, {21: "shmat", 22: "shmdt"}),  # ipc(2)
    },
    ptrace=26,
)
"""The calls that a 64-bit program, too, makes by `int $0x80`."""


def operation_of(calls: Calls, number: int, registers: tuple[int, ...]) -> Operation | None:
    """Return a call with its arguments as the kernel takes them; None if it is irrelevant.

    A 32-bit call gets a name that the engine does not make.
    """
    name = calls.name_of(number, registers)
    if name is None:
        return None
    if calls is OF_32_BITS:
        return Operation(f"{name} by int $0x80" if name in ARGUMENTS else name, registers)
    ints = _INTS.get(name, ())
    arguments = registers[: ARGUMENTS.get(name, len(registers))]
    return Operation(
        name,
        tuple(_int(value) if n in ints else value % _LONG for n, value in enumerate(arguments)),
    )


def _int(value: int) -> int:
    return (value + _INT // 2) % _INT - _INT // 2
