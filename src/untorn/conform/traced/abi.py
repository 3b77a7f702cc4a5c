"""How 64-bit and 32-bit programs call the kernel: numbers, registers, results.

Source: arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl; syscall(2) for the registers;
arch/x86/include/asm/user_64.h for their places.
"""

from dataclasses import dataclass

from untorn.maps.page import IA32_PAGE_OFFSET, PAGE_SHIFT, TASK_SIZE

RAX, ORIG_RAX, RIP = 10, 15, 16
"""Their places in struct user_regs_struct; a 32-bit program has the lower halves."""
_R10, _RBP, _RBX, _R9, _R8, _RCX, _RDX, _RSI, _RDI = 7, 4, 5, 8, 9, 11, 12, 13, 14
_MAX_ERRNO = 4095


@dataclass(frozen=True, slots=True)
class Abi:
    """The ABI of a program.

    Attributes:
        name: Its name in setarch(8).
        bits: Size of a register.
        task_size: The first byte address that a program cannot have, with four levels of page
            tables.
        arguments: Places of the argument registers in struct user_regs_struct.
        numbers: Numbers of system calls, by name.
    """

    name: str
    bits: int
    task_size: int
    arguments: tuple[int, ...]
    numbers: dict[str, int]

    @property
    def word_max(self) -> int:
        """A register with all bits set."""
        return (1 << self.bits) - 1

    def registers(self, name: str, arguments: tuple[int, ...]) -> tuple[int, ...]:
        """Return what the registers hold for a call of this name, in the order of its arguments.

        The offset of mmap is given in bytes; i386 has mmap2(2), which takes pages.
        """
        if self.bits == 32 and name == "mmap":
            *before, offset = arguments
            arguments = *before, offset >> PAGE_SHIFT
        return tuple(argument & self.word_max for argument in arguments)

    def result(self, register: int) -> int:
        """Return the result of a call: a negated errno if it is from -4095 to -1."""
        value = register & self.word_max
        return value - (1 << self.bits) if value >= (1 << self.bits) - _MAX_ERRNO else value


X86_64 = Abi(
    name="x86_64",
    bits=64,
    task_size=TASK_SIZE,
    arguments=(_RDI, _RSI, _RDX, _R10, _R8, _R9),
    numbers={
        "read": 0,
        "close": 3,
        "mmap": 9,
        "mprotect": 10,
        "munmap": 11,
        "brk": 12,
        "pwrite64": 18,
        "mremap": 25,
        "msync": 26,
        "mincore": 27,
        "madvise": 28,
        "shmat": 30,
        "clone": 56,
        "shmdt": 67,
        "execve": 59,
        "ftruncate": 77,
        "capset": 126,
        "personality": 135,
        "openat": 257,
        "dup3": 292,
        "mlock": 149,
        "munlock": 150,
        "mlockall": 151,
        "munlockall": 152,
        "prctl": 157,
        "mbind": 237,
        "set_mempolicy": 238,
        "execveat": 322,
        "mlock2": 325,
        "set_mempolicy_home_node": 450,
        "mseal": 462,
    },
)
I386 = Abi(
    name="i386",
    bits=32,
    task_size=IA32_PAGE_OFFSET,
    arguments=(_RBX, _RCX, _RDX, _RSI, _RDI, _RBP),
    numbers={
        "read": 3,
        "close": 6,
        "execve": 11,
        "brk": 45,
        "munmap": 91,
        "ftruncate": 93,
        "clone": 120,
        "mprotect": 125,
        "personality": 136,
        "msync": 144,
        "mlock": 150,
        "munlock": 151,
        "mlockall": 152,
        "munlockall": 153,
        "mremap": 163,
        "prctl": 172,
        "pwrite64": 181,
        "capset": 185,
        "mmap": 192,
        "mincore": 218,
        "madvise": 219,
        "mbind": 274,
        "set_mempolicy": 276,
        "execveat": 358,
        "openat": 295,
        "dup3": 330,
        "mlock2": 376,
        "shmat": 397,
        "shmdt": 398,
        "set_mempolicy_home_node": 450,
        "mseal": 462,
    },
)
ABIS = {abi.name: abi for abi in (X86_64, I386)}
