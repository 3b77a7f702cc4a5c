"""The system calls of one process: Linux's arguments, Linux's errno, on an MmStruct.

Arguments are what a program passes in registers: addresses, lengths and offsets count modulo
2**64, so -1 is what it is in C; in a 32-bit process addresses and lengths count modulo 2**32, and
offsets modulo 2**44, as mmap2(2) has them. The operations are in mm/calls/.

A call for which Linux would ask a driver raises NotModelledError and changes nothing: drivers are
not modelled, see mm/vmas/driver.py.
"""

import errno
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Self

from untorn.errors import os_error
from untorn.fs.binfmt_elf import Program
from untorn.fs.exec import exec_mm
from untorn.fs.from_maps.address_space import mm_from_maps
from untorn.fs.proc.base import ProcTask
from untorn.fs.proc.files import PROC_FILES
from untorn.fs.proc.pagemap import ProcPagemap
from untorn.fs.proc.vma_file import ProcVmaFile
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE, ULONG_MAX, page_aligned
from untorn.mm.calls.anon_name import set_anon_name
from untorn.mm.calls.brk import do_brk
from untorn.mm.calls.exit import mmput
from untorn.mm.calls.fork import dup_mm
from untorn.mm.calls.hugetlb import hugetlb_file
from untorn.mm.calls.madvise import do_madvise
from untorn.mm.calls.mbind import check_numa, do_mbind, do_set_mempolicy_home_node
from untorn.mm.calls.mincore import do_mincore
from untorn.mm.calls.mlock import do_mlock, do_mlockall, do_munlock, do_munlockall
from untorn.mm.calls.mmap import do_mmap
from untorn.mm.calls.mprotect import do_mprotect
from untorn.mm.calls.mremap import do_mremap
from untorn.mm.calls.mseal import do_mseal
from untorn.mm.calls.msync import do_msync
from untorn.mm.calls.munmap import do_munmap
from untorn.mm.calls.shm import ShmSegment, do_shmat, do_shmdt
from untorn.mm.file import VmFile
from untorn.mm.hugetlb import HugePool
from untorn.mm.limits import Limits
from untorn.mm.mempolicy import new_mempolicy, split_mode
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import MAP_ANONYMOUS, VM_READ, VM_WRITE
from untorn.mm.pages.memory import handle_mm_fault
from untorn.mm.truncate import do_ftruncate


class Process:
    """A process under test: its address space, its open files, its place in /proc.

    Attributes:
        mm: The address space.
        files: File descriptor to open file; changed by the process itself only.
        proc: What /proc knows of it.
    """

    __slots__ = ("files", "mm", "proc")

    def __init__(
        self, mm: MmStruct | None = None, *, release: tuple[int, ...] | None = None
    ) -> None:
        """Make a process.

        Args:
            mm: Its address space; None for an empty one.
            release: Which Linux an empty one follows, from 6.1 to 7.3: (7, 3), or (6, 18, 44) to
                include changes of stable updates. None: the running one, or the nearest that is
                modelled.

        Raises:
            ValueError: No such release is modelled.
        """
        self.mm = mm or MmStruct(release=release)
        self.files: dict[int, VmFile] = {}
        self.proc = ProcTask(self.mm)

    @classmethod
    def from_maps(
        cls,
        text: bytes,
        *,
        mmap_base: int | None = None,
        topdown: bool = True,
        heap: tuple[int, int] | None = None,
        limits: Limits | None = None,
        task_size: int | None = None,
        hugetlb: Mapping[tuple[int, int], int] | None = None,
        release: tuple[int, ...] | None = None,
        huge_pools: Mapping[int, HugePool] | None = None,
    ) -> Self:
        """Return a process whose maps are this text; see mm_from_maps().

        Raises:
            ValueError: The text is torn or truncated, is not maps, shows something that is not
                modelled, or says too little; the message has the line and the reason.
        """
        return cls(
            mm_from_maps(
                text,
                mmap_base=mmap_base,
                topdown=topdown,
                heap=heap,
                limits=limits,
                task_size=task_size,
                hugetlb=hugetlb,
                release=release,
                huge_pools=huge_pools,
            )
        )

    def mmap(
        self, addr: int, length: int, prot: int, flags: int, fd: int = -1, offset: int = 0
    ) -> int:
        """Map length bytes: of file descriptor fd from byte offset on, or anonymous.

        Returns:
            The byte address.

        Raises:
            OSError: as mmap(2): EINVAL if offset is not a multiple of the page size, EBADF if
                fd is not open, else as mm/calls/hugetlb.py:hugetlb_file() and
                mm/calls/mmap.py:do_mmap().
        """
        addr, length = addr & self.mm.word_max, length & self.mm.word_max
        offset &= (self.mm.word_max << PAGE_SHIFT | PAGE_SIZE - 1) & ULONG_MAX
        if not page_aligned(offset):
            raise os_error(errno.EINVAL)
        file = None
        if not flags & MAP_ANONYMOUS:
            file = self.files.get(fd)
            if file is None:
                raise os_error(errno.EBADF)
        file, length = hugetlb_file(self.mm, file, length, flags)
        return do_mmap(self.mm, addr, length, prot, flags, file, offset >> PAGE_SHIFT)

    def munmap(self, addr: int, length: int) -> None:
        """Unmap a range; see mm/calls/munmap.py:do_munmap() for arguments and errors."""
        do_munmap(self.mm, addr & self.mm.word_max, length & self.mm.word_max)

    def mprotect(self, addr: int, length: int, prot: int) -> None:
        """Set a range's protection; see do_mprotect() for arguments and errors."""
        do_mprotect(self.mm, addr & self.mm.word_max, length & self.mm.word_max, prot)

    def mremap(
        self, addr: int, old_len: int, new_len: int, flags: int = 0, new_addr: int = 0
    ) -> int:
        """Resize or move a range; see mm/calls/mremap.py:do_mremap() for arguments and errors."""
        return do_mremap(
            self.mm,
            addr & self.mm.word_max,
            old_len & self.mm.word_max,
            new_len & self.mm.word_max,
            flags,
            new_addr & self.mm.word_max,
        )

    def mseal(self, addr: int, length: int, flags: int = 0) -> None:
        """Seal a range; see mm/calls/mseal.py:do_mseal() for arguments and errors."""
        do_mseal(self.mm, addr & self.mm.word_max, length & self.mm.word_max, flags)

    def madvise(self, addr: int, length: int, advice: int) -> None:
        """Give advice about a range; see do_madvise() for arguments and errors."""
        do_madvise(self.mm, addr & self.mm.word_max, length & self.mm.word_max, advice)

    def mlock(self, addr: int, length: int) -> None:
        """Lock a range in memory, as mlock2() without flags."""
        self.mlock2(addr, length)

    def mlock2(self, addr: int, length: int, flags: int = 0) -> None:
        """Lock a range in memory; see mm/calls/mlock.py:do_mlock() for arguments and errors."""
        do_mlock(self.mm, addr & self.mm.word_max, length & self.mm.word_max, flags)

    def munlock(self, addr: int, length: int) -> None:
        """Unlock a range; see mm/calls/mlock.py:do_mlock() for arguments and errors."""
        do_munlock(self.mm, addr & self.mm.word_max, length & self.mm.word_max)

    def mbind(self, addr: int, length: int, mode: int, nodemask: int = 0, flags: int = 0) -> None:
        """Give a range a memory policy; see mm/calls/mbind.py:do_mbind() for arguments and errors.

        The nodes are given as bits, not as a pointer and a number of bits.
        """
        addr, length = addr & self.mm.word_max, length & self.mm.word_max
        do_mbind(self.mm, addr, length, mode, nodemask, flags)

    def set_mempolicy(self, mode: int, nodemask: int = 0) -> None:
        """Give the process a memory policy, where its memory has none of its own.

        Raises:
            OSError: ENOSYS and, for mode and nodes, EINVAL as mbind().
        """
        check_numa(self.mm)
        mode, flags = split_mode(self.mm.release, mode)
        allowed = self.mm.limits.mems_allowed
        self.proc.mempolicy = new_mempolicy(mode, flags, nodemask, allowed)

    def set_mempolicy_home_node(
        self, addr: int, length: int, home_node: int, flags: int = 0
    ) -> None:
        """Set the node to try first; see do_set_mempolicy_home_node() for errors."""
        addr, length = addr & self.mm.word_max, length & self.mm.word_max
        home_node, flags = home_node & self.mm.word_max, flags & self.mm.word_max
        do_set_mempolicy_home_node(self.mm, addr, length, home_node, flags)

    def msync(self, addr: int, length: int, flags: int) -> None:
        """Write back a range; see mm/calls/msync.py:do_msync() for arguments and errors."""
        do_msync(self.mm, addr & self.mm.word_max, length & self.mm.word_max, flags)

    def mincore(self, addr: int, length: int, vec: int) -> list[bool]:
        """Return which pages are in memory; see mm/calls/mincore.py:do_mincore()."""
        mask = self.mm.word_max
        return do_mincore(self.mm, addr & mask, length & mask, vec & mask)

    def shmat(self, segment: ShmSegment, addr: int = 0, flags: int = 0) -> int:
        """Attach a System V segment; see mm/calls/shm.py:do_shmat() for arguments and errors."""
        return do_shmat(self.mm, segment, addr & self.mm.word_max, flags)

    def shmdt(self, addr: int) -> None:
        """Detach a System V segment; see mm/calls/shm.py:do_shmdt() for errors."""
        do_shmdt(self.mm, addr & self.mm.word_max)

    def mlockall(self, flags: int) -> None:
        """Lock everything; see mm/calls/mlock.py:do_mlockall() for flags and errors."""
        do_mlockall(self.mm, flags)

    def munlockall(self) -> None:
        """Unlock everything."""
        do_munlockall(self.mm)

    def brk(self, addr: int) -> int:
        """Move the end of the heap; see mm/calls/brk.py:do_brk()."""
        return do_brk(self.mm, addr & self.mm.word_max)

    def set_anon_name(self, addr: int, length: int, name: bytes | None) -> None:
        """Name anonymous memory; see mm/calls/anon_name.py:set_anon_name()."""
        set_anon_name(self.mm, addr & self.mm.word_max, length & self.mm.word_max, name)

    def fork(self) -> Self:
        """Return a child: a copy of the address space, and the same open files.

        Attributes that a subclass adds are not copied: parent and child share them.
        """
        child = copy(self)
        child.mm = dup_mm(self.mm, f"{self.mm.name}+")
        child.files = dict(self.files)
        child.proc = ProcTask(child.mm)
        child.proc.mempolicy = self.proc.mempolicy
        return child

    def execve(
        self,
        program: Program,
        argv: Sequence[bytes],
        envp: Sequence[bytes] = (),
        *,
        interpreter: Program | None = None,
        filename: bytes | None = None,
    ) -> None:
        """Start another program in a fresh address space; see fs/exec.py:exec_mm().

        Descriptors stay open. Files of /proc that are already open stay with the old one.
        """
        old = self.mm
        new = exec_mm(old, program, argv, envp, interpreter=interpreter, filename=filename)
        self.mm = self.proc.mm = new
        mmput(old)

    def touch(self, addr: int, *, write: bool) -> None:
        """Read or write the byte at addr.

        Raises:
            OSError: EFAULT where the kernel sends SIGSEGV.
        """
        handle_mm_fault(self.mm, addr & self.mm.word_max, VM_WRITE if write else VM_READ)

    def open(self, file: str = "maps", reader: str | None = None) -> ProcVmaFile:
        """Open a file in /proc/PID that shows VMAs.

        Args:
            file: maps, smaps, smaps_rollup or another of fs/proc/files.py.
            reader: What keeps VMAs still while they are read: mmap_lock, vma_lock or, for maps,
                rcu; None for what the release does.

        Raises:
            OSError: ENOENT once the process was reaped; EACCES if the caller may not look; for
                smaps_rollup ESRCH if the process has no mm.
            ValueError: There is no such file or reader; the message lists those that exist.
        """
        if file not in PROC_FILES:
            raise ValueError(f"no file {file}; files: {', '.join(PROC_FILES)}")
        kind = PROC_FILES[file]
        return kind.open(self.proc, reader or kind.locking_of(self.mm.release))

    def open_pagemap(self) -> ProcPagemap:
        """Open /proc/PID/pagemap, which has an entry for each page.

        Raises:
            OSError: ENOENT once the process was reaped; EACCES if the caller may not look; ESRCH if
                the process has no mm.
        """
        return ProcPagemap(self.proc)

    def fsync(self, fd: int) -> None:
        """Write back an open file. Raises OSError EBADF if fd is not open."""
        file = self.files.get(fd)
        if file is None:
            raise os_error(errno.EBADF)
        file.mapping.write_back()

    def ftruncate(self, fd: int, length: int) -> None:
        """Give an open file another size; see mm/truncate.py:do_ftruncate() for errors.

        Raises:
            OSError: EBADF if fd is not open.
        """
        file = self.files.get(fd)
        if file is None:
            raise os_error(errno.EBADF)
        do_ftruncate(self.mm, file, self.files.values(), length & ULONG_MAX)

    def exit(self) -> None:
        """End the process: its address space ends after its last user; it stays a zombie."""
        mmput(self.mm)

    def reap(self) -> None:
        """Wait for the zombie, as its parent does: /proc/PID is gone afterwards."""
        self.proc.reaped = True
