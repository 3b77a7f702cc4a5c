"""The engine and the running kernel behind one face: a process and a window of its memory.

A window is a range of addresses, far from everything else in either process, in which a test may
do what it likes. Both worlds use the same addresses, so that their maps can be compared.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from tests.helpers.engine import text_of
from tests.helpers.smaps_records import Record, records
from tests.oracle.kernel_process import KernelProcess, Step
from tests.oracle.real_files import vm_file
from untorn.conform.traced.bounds import memory_pages
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE
from untorn.mm.file import VmFile
from untorn.mm.limits import RLIM_INFINITY, Limits
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE
from untorn.mm.mmap_lock import (
    mmap_read_lock,
    mmap_read_unlock,
    mmap_write_lock,
    mmap_write_unlock,
)
from untorn.syscalls import Process

RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
WINDOW_SIZE = 4 << 20
"""Bytes; more than the guard gap of a stack, so that no window reaches into the one below."""
CAP_IPC_LOCK, CAP_SYS_RAWIO = 14, 17
SHARED_ANONYMOUS = re.compile(rb"( 00:01 )(\d+ +)(?=/dev/zero \(deleted\)$)", re.MULTILINE)
window_bases = count(0x2000_0000_0000, WINDOW_SIZE)


@dataclass(frozen=True)
class Bounds:
    """What a call may use, where that is less than usual.

    Attributes:
        more_pages: How many pages RLIMIT_AS leaves room for; negative if more are used already.
        more_data_pages: The same for RLIMIT_DATA.
        data: RLIMIT_DATA in bytes.
        memlock: RLIMIT_MEMLOCK in bytes.
        without: A capability that the process does not have.
    """

    more_pages: int | None = None
    more_data_pages: int | None = None
    data: int | None = None
    memlock: int | None = None
    without: int | None = None


class World:
    """What both worlds offer to a test.

    Attributes:
        process: Makes the calls: mmap, munmap, mprotect, mseal.
        base: Byte address where the window begins; nothing is mapped in it at first.
    """

    process: Process | KernelProcess
    base: int

    def page(self, number: int) -> int:
        """Return the byte address of a page of the window."""
        return self.base + (number << PAGE_SHIFT)

    def mmap(
        self,
        addr: int = 0,
        length: int = PAGE_SIZE,
        prot: int = RW,
        flags: int = ANONYMOUS,
        fd: int = -1,
        offset: int = 0,
    ) -> int:
        """Map one private anonymous page anywhere, or what the arguments say."""
        return self.process.mmap(addr, length, prot, flags, fd, offset)

    def put(self, first: int, pages: int = 1, prot: int = RW, flags: int = ANONYMOUS) -> int:
        """Map pages of the window, over whatever is there; return where they begin."""
        return self.mmap(self.page(first), pages << PAGE_SHIFT, prot, flags | MAP_FIXED)

    def munmap(self, addr: int, length: int = PAGE_SIZE) -> None:
        self.process.munmap(addr, length)

    def mprotect(self, addr: int, length: int = PAGE_SIZE, prot: int = PROT_READ) -> None:
        self.process.mprotect(addr, length, prot)

    def mremap(
        self, addr: int, old_len: int, new_len: int, flags: int = 0, new_addr: int = 0
    ) -> int:
        return self.process.mremap(addr, old_len, new_len, flags, new_addr)

    def mseal(self, addr: int, length: int = PAGE_SIZE, flags: int = 0) -> None:
        self.process.mseal(addr, length, flags)

    def madvise(self, addr: int, length: int, advice: int) -> None:
        self.process.madvise(addr, length, advice)

    def mlock2(self, addr: int, length: int, flags: int = 0) -> None:
        self.process.mlock2(addr, length, flags)

    def munlock(self, addr: int, length: int) -> None:
        self.process.munlock(addr, length)

    def touch(self, addr: int, *, write: bool = True) -> None:
        self.process.touch(addr, write=write)

    def open(self, path: Path, flags: int = os.O_RDWR) -> int:
        """Open a real file; return its descriptor."""
        raise NotImplementedError

    def within(self, bounds: Bounds) -> AbstractContextManager[None]:
        """Make calls within these bounds."""
        raise NotImplementedError

    def all_maps(self) -> bytes:
        """Return the whole text of maps."""
        raise NotImplementedError

    def maps(self) -> list[bytes]:
        """Return the lines of the window."""
        lines = re.findall(rb"[^\n]*\n", self.all_maps())  # a name may have a carriage return
        return [line for line in lines if self.holds(line)]

    def all_smaps(self) -> bytes:
        """Return the whole text of smaps."""
        raise NotImplementedError

    def smaps(self) -> list[Record]:
        """Return the records of the window."""
        return [record for record in records(self.all_smaps()) if self.holds(record.line)]

    def holds(self, line: bytes) -> bool:
        """Say whether a line is of the window."""
        return self.base <= int(line.split(b"-")[0], 16) < self.base + WINDOW_SIZE


class EngineWorld(World):
    def __init__(self, limits: Limits, base: int | None = None) -> None:
        self.process: Process = Process(MmStruct("engine", limits=limits))
        self.base = next(window_bases) if base is None else base

    def all_maps(self) -> bytes:
        mm = self.process.mm
        mmap_read_lock(mm)
        mm.check_invariants()
        mmap_read_unlock(mm)
        return text_of(self.process)

    def all_smaps(self) -> bytes:
        """Return it as both strategies give it, after a look at the page table."""
        mm = self.process.mm
        mmap_write_lock(mm)
        mm.check_invariants()
        mmap_write_unlock(mm)
        texts = {text_of(self.process, "smaps", reader) for reader in ("mmap_lock", "vma_lock")}
        assert len(texts) == 1, "both strategies read the same"
        return texts.pop()

    def adopt(self, file: VmFile) -> int:
        """Have the file open; return its descriptor."""
        fd = len(self.process.files) + 3
        self.process.files[fd] = file
        return fd

    def open(self, path: Path, flags: int = os.O_RDWR) -> int:
        """Open a real file; the engine is told what the kernel says of it."""
        return self.adopt(vm_file(path, flags))

    @contextmanager
    def within(self, bounds: Bounds) -> Iterator[None]:
        """Make calls within these bounds."""
        mm = self.process.mm
        old = new = mm.limits
        if bounds.more_pages is not None:
            new = replace(new, rlimit_as=mm.total_vm + bounds.more_pages << PAGE_SHIFT)
        if bounds.more_data_pages is not None:
            new = replace(new, rlimit_data=mm.data_vm + bounds.more_data_pages << PAGE_SHIFT)
        if bounds.data is not None:
            new = replace(new, rlimit_data=bounds.data)
        if bounds.memlock is not None:
            new = replace(new, rlimit_memlock=bounds.memlock)
        if bounds.without == CAP_IPC_LOCK:
            new = replace(new, cap_ipc_lock=False)
        elif bounds.without == CAP_SYS_RAWIO:
            new = replace(new, cap_sys_rawio=False)
        mm.limits = new
        try:
            yield
        finally:
            mm.limits = old


class KernelWorld(World):
    def __init__(self, process: KernelProcess, base: int | None = None) -> None:
        self.process: KernelProcess = process
        self.base = next(window_bases) if base is None else base

    def all_maps(self) -> bytes:
        return self.process.maps()

    def all_smaps(self) -> bytes:
        return self.process.smaps()

    def open(self, path: Path, flags: int = os.O_RDWR) -> int:
        """Open a file in the child."""
        return self.process.call("open", str(path), flags)

    @contextmanager
    def within(self, bounds: Bounds) -> Iterator[None]:
        """Make calls within these bounds, which hold for the call alone, not for the child."""
        limits = {"MEMLOCK": bounds.memlock, "DATA": bounds.data}
        if bounds.more_pages is not None:
            limits["AS"] = (self.process.status("VmSize") << 10) + bounds.more_pages * PAGE_SIZE
        if bounds.more_data_pages is not None:
            in_use = self.process.status("VmData") << 10
            limits["DATA"] = in_use + bounds.more_data_pages * PAGE_SIZE
        before: list[Step] = [["limit", name, n] for name, n in limits.items() if n is not None]
        after: list[Step] = [["limit", name, None] for _, name, _ in before]
        if bounds.without is not None and self.process.has_capability(bounds.without):
            before.append(["capability", bounds.without, False])
            after.append(["capability", bounds.without, True])
        with self.process.around(before, after):
            yield


def masked(lines: list[bytes]) -> list[bytes]:
    """Number the inodes of shared anonymous memory in the order in which they first appear.

    The kernel picks them; which lines have the same one is not for it to pick.
    """
    seen: dict[bytes, int] = {}

    def number(match: re.Match[bytes]) -> bytes:
        inode = match[2].rstrip()
        return match[1] + b"%-*d" % (len(match[2]), seen.setdefault(inode, len(seen)))

    return [SHARED_ANONYMOUS.sub(number, line) for line in lines]


def engine_limits() -> Limits:
    """Return the limits of this machine, for a process with root's rights."""
    return Limits(
        rlimit_memlock=RLIM_INFINITY,
        cap_ipc_lock=True,
        cap_sys_rawio=True,
        totalram_pages=memory_pages(),
    )


def answer(call: Callable[..., object], *arguments: object, **keywords: bool) -> int:
    """Return the errno of a call, 0 if it has none."""
    try:
        call(*arguments, **keywords)
    except OSError as error:
        return error.errno or 0
    return 0
