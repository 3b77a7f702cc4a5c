"""A program's call, prepared for the engine."""

import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from untorn.conform.operation import Operation
from untorn.conform.program.open_files import OpenFiles
from untorn.conform.program.processes import Thread
from untorn.conform.program.sysvipc import Segments
from untorn.conform.program.takes import PKEY_BITS, UFFD_BITS
from untorn.errors import NotModelledError, os_error
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.mm.calls.anon_name import ANON_VMA_NAME_MAX_LEN
from untorn.mm.file import VmFile
from untorn.mm.mm_types import Vma
from untorn.mm.mman import (
    MADV_COLLAPSE,
    MAP_ANONYMOUS,
    MAP_HUGETLB,
    PROT_EXEC,
    VM_ACCESS_FLAGS,
    VM_SEALED,
)
from untorn.syscalls import Process

_POOLS = Path("/sys/kernel/mm/hugepages")
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class EngineCall:
    """A call that is ready to be made.

    Attributes:
        make: Makes it in an engine process; raises what that raises.
        file: The file that it maps, if it is an mmap of an open file.
        name: The name that it gives, if it names memory.
        nodes: The NUMA nodes as bits, if it takes a set of them.
    """

    make: Callable[[Process], int | None]
    file: VmFile | None = None
    name: bytes | None = None
    nodes: int = 0


class EngineCalls:
    """Turns operations into calls of the engine, and looks up what their arguments refer to.

    It asks the kernel before the kernel makes the call: another thread may close a descriptor after
    that.
    """

    def __init__(self, files: OpenFiles) -> None:
        self._files = files
        self._segments = Segments()
        self._has_keys = "ospke" in _CPUINFO.read_text().split()

    def prepare(self, thread: Thread, operation: Operation) -> EngineCall:
        """Return a thread's call for its engine process.

        Raises:
            NotModelledError: The call concerns something that the engine does not model.
        """
        special: Callable[..., EngineCall] | None = getattr(self, f"_{operation.name}", None)
        if special is not None:
            return special(thread, *operation.arguments)
        name, arguments = operation.name, operation.arguments
        return EngineCall(lambda process: getattr(process, name)(*arguments))

    def _mmap(
        self, thread: Thread, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
    ) -> EngineCall:
        if flags & MAP_HUGETLB and _has_huge_pages():
            raise NotModelledError("mmap of huge pages")
        self._refuse_keys(prot, ())
        file = None if flags & MAP_ANONYMOUS else self._files.of(thread, fd)

        def make(process: Process) -> int:
            process.files = {fd: file} if file is not None else {}
            return process.mmap(addr, length, prot, flags, fd, offset)

        return EngineCall(make, file=file)

    def _mprotect(self, thread: Thread, addr: int, length: int, prot: int) -> EngineCall:
        def make(process: Process) -> None:
            self._refuse_keys(prot, _vmas(process, addr, length))
            process.mprotect(addr, length, prot)

        return EngineCall(make)

    def _refuse_keys(self, prot: int, vmas: Iterable[Vma]) -> None:
        """Refuse what depends on protection keys: one makes memory execute-only, others remain."""
        only_executed = self._has_keys and prot & VM_ACCESS_FLAGS == PROT_EXEC
        if only_executed or any(vma.vm_flags & PKEY_BITS for vma in vmas):
            raise NotModelledError("memory with a protection key")

    def _mremap(
        self, thread: Thread, addr: int, old_len: int, new_len: int, flags: int, new_addr: int
    ) -> EngineCall:
        def make(process: Process) -> int:
            if any(vma.vm_flags & UFFD_BITS for vma in _vmas(process, addr, old_len)):
                raise NotModelledError("memory that userfaultfd watches")
            return process.mremap(addr, old_len, new_len, flags, new_addr)

        return EngineCall(make)

    def _madvise(self, thread: Thread, addr: int, length: int, advice: int) -> EngineCall:
        def make(process: Process) -> None:
            vmas = _vmas(process, addr, length)
            if any(vma.vm_flags & PKEY_BITS and vma.vm_flags & VM_SEALED for vma in vmas):
                raise NotModelledError("sealed memory with a protection key")
            if advice == MADV_COLLAPSE and addr + -addr % PMD_SIZE + PMD_SIZE <= addr + length:
                raise NotModelledError("MADV_COLLAPSE of a whole huge page")
            process.madvise(addr, length, advice)

        return EngineCall(make)

    def _shmat(self, thread: Thread, shmid: int, addr: int, flags: int) -> EngineCall:
        if _has_huge_pages():
            raise NotModelledError("shmat where there are huge pages")  # it may be of these
        segment = self._segments.of(thread, shmid)

        def make(process: Process) -> int:
            if segment is None:
                raise os_error(errno.EINVAL)
            return process.shmat(segment, addr, flags)

        return EngineCall(make)

    def _mbind(
        self, thread: Thread, addr: int, length: int, mode: int, at: int, maxnode: int, flags: int
    ) -> EngineCall:
        nodes = _nodes(thread, at, maxnode)

        def make(process: Process) -> None:
            if isinstance(nodes, OSError):
                raise nodes
            process.mbind(addr, length, mode, nodes, flags)

        return EngineCall(make, nodes=0 if isinstance(nodes, OSError) else nodes)

    def _set_anon_name(
        self, thread: Thread, option: int, what: int, addr: int, length: int, name: int
    ) -> EngineCall:
        text = _string(thread, name)

        def make(process: Process) -> None:
            if what:
                raise os_error(errno.EINVAL)
            if isinstance(text, OSError):
                raise text
            process.set_anon_name(addr, length, text)

        return EngineCall(make, name=None if isinstance(text, OSError) else text)


def _vmas(process: Process, addr: int, length: int) -> Iterator[Vma]:
    """Yield the VMAs in a range of byte addresses."""
    vma = process.mm.find_vma(addr)
    while vma is not None and vma.vm_start < addr + length:
        yield vma
        vma = process.mm.find_vma(vma.vm_end)


def _has_huge_pages() -> bool:
    """Return whether the machine has any: nobody can tell the engine what others leave of them."""
    numbers = [*_POOLS.glob("*/nr_hugepages"), *_POOLS.glob("*/nr_overcommit_hugepages")]
    return any(int(number.read_text()) for number in numbers)


def _string(thread: Thread, addr: int) -> bytes | OSError | None:
    """Return the name at a byte address, or the kernel's error if it cannot be read."""
    if not addr:
        return None
    try:
        text = thread.read(addr, ANON_VMA_NAME_MAX_LEN)
    except OSError:
        return os_error(errno.EFAULT)
    name, end, _ = text.partition(b"\0")
    if not end:
        return os_error(errno.EINVAL if len(text) == ANON_VMA_NAME_MAX_LEN else errno.EFAULT)
    return name


def _nodes(thread: Thread, addr: int, maxnode: int) -> int | OSError:
    """Return the set of nodes at a byte address as bits, or the kernel's error.

    Compare mm/mempolicy.c:get_nodes().
    """
    bits = maxnode - 1
    if not addr or not bits:
        return 0
    if not 0 < bits <= PAGE_SIZE * 8:
        return os_error(errno.EINVAL)
    size = -(-bits // 64) * 8
    try:
        words = thread.read(addr, size)
    except OSError:
        return os_error(errno.EFAULT)
    if len(words) < size:
        return os_error(errno.EFAULT)
    return int.from_bytes(words, "little") & (1 << bits) - 1
