"""The running kernel's side: a traced child makes the operations."""

import os
import re
import struct
from collections.abc import Sequence

from untorn.conform.answer import InodeNumbers
from untorn.conform.files import SINK_FD, ZEROS_FD
from untorn.conform.huge_pages import KernelPools
from untorn.conform.operation import LIMITS, Operation, bits_of
from untorn.conform.substitutes import Substitutes
from untorn.conform.traced import minimal_elf
from untorn.conform.traced.bounds import PR_SET_VMA, PR_SET_VMA_ANON_NAME
from untorn.conform.traced.member import Layout
from untorn.conform.traced.minimal_child import MinimalChild
from untorn.maps.page import PAGE_SHIFT, page_align

COUNTS = {
    "total_vm": ("VmSize",),
    "locked_vm": ("VmLck",),
    "data_vm": ("VmData",),
    "stack_vm": ("VmStk",),
    "exec_vm": ("VmExe", "VmLib"),
}
"""The counters of an address space, each the sum of some fields of /proc/PID/status."""
_POLICY = re.compile(rb"^[0-9a-f]+ (?:weighted )?\w+(?: \(many\))?(?:=[\w|]+)?(?::[\d,-]+)?", re.M)
_AT_FDCWD = -100
_PR_SET_MM, _PR_SET_MM_MAP, _NO_FILE = 35, 14, (1 << 32) - 1
_PRCTL_MM_MAP = struct.Struct("=12Q2I")
"""Source: include/uapi/linux/prctl.h, struct prctl_mm_map."""


def policies_of(numa_maps: bytes) -> bytes:
    """Return the start of each line of numa_maps: where the VMA is, and its policy."""
    return b"".join(line + b"\n" for line in _POLICY.findall(numa_maps))


class KernelSide:
    """The child. A result is what the kernel returns; a negated errno if it is negative.

    Attributes:
        truncated: Descriptors of the files that were truncated.
    """

    def __init__(
        self,
        child: MinimalChild,
        pools: KernelPools,
        substitutes: Substitutes,
        shmids: Sequence[int],
    ) -> None:
        """Take over a child; the substitutes make the files of scripts."""
        self.child = child
        self.pools = pools
        self._substitutes = substitutes
        self.truncated: set[int] = set()
        self._shmids = shmids
        self._inodes = InodeNumbers()

    def do(self, operation: Operation) -> int:
        """Do an operation other than crowd.

        Raises:
            ChildProcessError: The child ended.
        """
        name, arguments = operation.name, operation.arguments
        own = getattr(self, f"_{name}", None)
        result: int = self.child.call(name, *arguments) if own is None else own(*arguments)
        return result

    def maps(self) -> bytes:
        """Return the text of maps: see Side."""
        return self._inodes.put_into(self.child.maps())

    def counts(self) -> dict[str, int]:
        """Return the counters in COUNTS in pages, and those of the machine's huge pages."""
        return self.child.pages(COUNTS) | self.pools.counts()

    def policies(self) -> bytes:
        """Return where each VMA is and its memory policy, from numa_maps."""
        return policies_of(self.child.numa_maps())

    def _mbind(self, addr: int, length: int, mode: int, nodemask: int, flags: int) -> int:
        nodes = minimal_elf.nodemask_at(nodemask)
        return self.child.call("mbind", addr, length, mode, nodes, minimal_elf.MAXNODE, flags)

    def _set_mempolicy(self, mode: int, nodemask: int) -> int:
        nodes = minimal_elf.nodemask_at(nodemask)
        return self.child.call("set_mempolicy", mode, nodes, minimal_elf.MAXNODE)

    def _ftruncate(self, fd: int, length: int) -> int:
        result = self.child.call("ftruncate", fd, length)
        if result == 0:
            self.truncated.add(fd)
        return result

    def _mincore(self, addr: int, length: int, vec: int) -> int:
        word_max = self.child.abi.word_max
        result = self.child.call("mincore", addr, length, vec)
        pages = page_align(length & word_max) >> PAGE_SHIFT
        if result or not pages:
            return result
        return bits_of(self.child.memory(vec & word_max, pages))

    def _shmat(self, number: int, addr: int, flags: int) -> int:
        known = number in range(len(self._shmids))
        return self.child.call("shmat", self._shmids[number] if known else -1, addr, flags)

    def smaps(self) -> bytes:
        """Return the text of smaps: see Side."""
        return self.child.smaps()

    def _smaps(self) -> int:
        return 0

    def _touch_write(self, addr: int) -> int:
        return min(self.child.call("read", ZEROS_FD, addr, 1), 0)

    def _touch_read(self, addr: int) -> int:
        return min(self.child.call("pwrite64", SINK_FD, addr, 1, 0, 0), 0)

    def _set_anon_name(self, addr: int, length: int, number: int) -> int:
        name = 0 if number < 0 else minimal_elf.string_at(number)
        return self.child.call("prctl", PR_SET_VMA, PR_SET_VMA_ANON_NAME, addr, length, name)

    def _setrlimit(self, number: int, soft: int) -> int:
        self.child.set_limit(LIMITS[number], soft)
        return 0

    def _capset(self) -> int:
        return self.child.call(
            "capset", minimal_elf.CAPABILITY_HEADER, minimal_elf.IDLE_CAPABILITIES
        )

    def _open_file(self, fd: int, number: int, size: int, flags: int, where: int) -> int:
        path = self._substitutes.path(number, size, where).encode() + b"\0"
        opened = self.child.call("openat", _AT_FDCWD, self.child.poke(path), flags, 0)
        if opened < 0:
            return opened
        result = self.child.call("dup3", opened, fd, os.O_CLOEXEC)
        self.child.call("close", opened)
        return result

    def _start_brk(self, addr: int) -> int:
        """Change only the heap. Compare kernel/sys.c:prctl_set_mm_map()."""
        layout = Layout.of(self.child.pid)
        heap = addr, addr
        fields = (*layout[:2], *layout[3:5], *heap, layout.start_stack, *layout[6:], 0, 0, _NO_FILE)
        packed = _PRCTL_MM_MAP.pack(*fields)
        at = self.child.poke(packed)
        return self.child.call("prctl", _PR_SET_MM, _PR_SET_MM_MAP, at, len(packed), 0)

    def _fork(self) -> int:
        try:
            self.child.fork()
        except ChildProcessError:
            raise
        except OSError as error:
            return -(error.errno or 0)
        return 0

    def _exit(self) -> int:
        self.child.exit()
        return 0

    def _orphan(self) -> int:
        self.child.orphan()
        return 0
