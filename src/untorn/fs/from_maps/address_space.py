"""An address space of the engine that starts from the maps of a real process.

It stands here, and not as a method of MmStruct, because what it reads is the text of a file of
/proc, and mm/ knows nothing of those; Process.from_maps() is the door to it.

What maps does not show is taken to be as it is most often: files are open for reading and
writing and longer than what is mapped of them, writable private memory is charged for, nothing
but the stack was ever written, and nobody gave advice, locked or sealed. Of devices, sockets and
the like their drivers know more than that: calls that would ask them raise NotModelledError, see
mm/vmas/driver.py.
"""

import re
from collections.abc import Mapping

from untorn.fs.from_maps.files import FilesOfMaps
from untorn.fs.from_maps.layout import (
    HEAP,
    STACK,
    choose_task_size,
    does_read_imply_exec,
    find_heap,
    find_legacy_base,
    find_mmap_base,
    find_start_stack,
)
from untorn.fs.from_maps.lines import NumberedLine, number_lines, refusal
from untorn.fs.proc.show_map import gate_line, show_map
from untorn.maps.entry import MapsEntry
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE
from untorn.mm.committed import VmCommitted
from untorn.mm.file import VmFile
from untorn.mm.hugetlb import HugePool, empty_pools
from untorn.mm.limits import Limits, stack_top_max
from untorn.mm.mm_types import MmStruct, Vma, VmaSlab, vm_area_cachep, vma_add_pgoff, vma_pages
from untorn.mm.mman import (
    VM_ACCESS_FLAGS,
    VM_ACCOUNT,
    VM_DONTEXPAND,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_HUGETLB,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.vma_lock import vma_start_write
from untorn.mm.vmas.accounting import vma_account
from untorn.mm.vmas.driver import has_driver
from untorn.mm.vmas.rmap import vma_anon_prepare
from untorn.mm.vmas.vdso import SPECIAL_FLAGS, special_flags, special_mapping
from untorn.mm.vmas.vm_area import vm_area_alloc, vma_open, vma_store_new

_ANON_NAME = re.compile(rb"\[anon(?:_shmem)?:(.*)\]", re.DOTALL)
_MAY = VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC
_GATE_FLAGS = {gate_line(flags): flags for flags in (VM_EXEC, VM_READ | VM_EXEC)}
"""Of the last line, if it is that of the gate VMA."""


def mm_from_maps(
    text: bytes,
    *,
    name: str = "mm",
    mmap_base: int | None = None,
    topdown: bool = True,
    heap: tuple[int, int] | None = None,
    start_stack: int | None = None,
    data_size: int = 0,
    limits: Limits | None = None,
    slab: VmaSlab = vm_area_cachep,
    task_size: int | None = None,
    hugetlb: Mapping[tuple[int, int], int] | None = None,
    release: tuple[int, ...] | None = None,
    huge_pools: Mapping[int, HugePool] | None = None,
    vm_committed: VmCommitted | None = None,
) -> MmStruct:
    """Return an address space whose maps are this text, to the byte.

    Args:
        text: The whole of a /proc/PID/maps, read at one go.
        name: For reports.
        mmap_base: Byte address below which mappings are placed; None: where the highest of those
            ends that may have been placed, with or without randomization, as the first to be
            placed touches it.
        topdown: False if mappings are placed from the bottom up; mmap_base is the lowest then.
        heap: start_brk and brk, byte addresses; None: as far as lines are called [heap].
        start_stack: Byte address of the stack pointer at exec; None: near the top of [stack].
        data_size: Bytes of the program's own data; see MmStruct.
        limits: What bounds it; RLIMIT_STACK is what it was at exec.
        slab: Where its VMA objects come from.
        task_size: The first byte address that the process cannot have: TASK_SIZE, with page tables
            of five levels TASK_SIZE_5LEVEL, or of a 32-bit process IA32_PAGE_OFFSET or
            IA32_PAGE_OFFSET_3GB of maps/page.py; None: as the [stack], or what lies above 4 GiB,
            tells.
        hugetlb: Of devices, major and minor number as maps shows them, the bytes of the pages
            that all files there have: 2 << 20 or 1 << 30 on a hugetlbfs, 4096 elsewhere; see
            files.py for what the text tells itself.
        release: Which Linux it behaves like; see MmStruct.
        huge_pools: The machine's huge pages; see MmStruct. What is mapped of them already has none
            of its pages in use and none reserved.
        vm_committed: What is promised to all processes of the machine; see MmStruct.

    Raises:
        ValueError: A line is torn, cut off, out of order, not one that the engine could have
            written, or of something that is not modelled; the message has its number and the
            reason. Or the text leaves open what task_size or hugetlb would tell, or
            no such release is modelled.
    """
    texts = re.findall(rb"[^\n]*\n|[^\n]+", text)
    gate_flags = _GATE_FLAGS.get(texts[-1], 0) if texts else 0
    lines = number_lines(texts[:-1] if gate_flags else texts)
    task_size = choose_task_size(lines, gate=bool(gate_flags), told=task_size)
    pools = empty_pools() if huge_pools is None else huge_pools
    files = FilesOfMaps(lines, hugetlb or {}, pools)
    limits = limits or Limits()
    if mmap_base is None:
        mmap_base = find_mmap_base(lines, limits, task_size, topdown=topdown)
    mm = MmStruct(
        name,
        limits=limits,
        mmap_base=mmap_base,
        mmap_legacy_base=find_legacy_base(mmap_base, limits, task_size),
        topdown=topdown,
        task_size=task_size,
        gate_vma=bool(gate_flags),
        gate_vma_flags=gate_flags,
        slab=slab,
        release=release,
        huge_pools=pools,
        vm_committed=vm_committed,
    )
    mm.data_size = data_size
    mm.read_implies_exec = does_read_imply_exec(lines, task_size)
    mm.start_brk, mm.brk = find_heap(lines) if heap is None else heap
    mm.start_stack = find_start_stack(lines) if start_stack is None else start_stack
    mmap_write_lock(mm)
    try:
        _fill(mm, lines, files)
    finally:
        mmap_write_unlock(mm)
    return mm


def _fill(mm: MmStruct, lines: list[NumberedLine], files: FilesOfMaps) -> None:
    """Add a VMA for each line. Preconditions: mmap_lock held for write; mm is empty."""
    for line in lines:
        vma = add_vma(mm, line, files.of(line.entry) if line.entry.has_file else None)
        if show_map(vma) != line.text:
            raise refusal(line.number, line.text, "is not as Linux writes it")
        if line.entry.name == STACK:
            vma_anon_prepare(mm, vma)


def add_vma(mm: MmStruct, line: NumberedLine, file: VmFile | None) -> Vma:
    """Add a VMA for a line, which maps this file. Preconditions: mmap_lock held for write."""
    entry = line.entry
    vma = vm_area_alloc(mm)
    vma.vm_start, vma.vm_end = entry.start, entry.end
    vma.vm_file = file
    vma.vm_ops = file.vm_ops if file is not None else None
    mm.has_drivers = mm.has_drivers or has_driver(vma)
    vma.vm_flags = _flags(entry, file)
    vma_open(vma)
    vma.vm_anon_pgoff = entry.start >> PAGE_SHIFT
    vma.vm_pgoff = entry.offset >> PAGE_SHIFT if entry.has_file else vma.vm_anon_pgoff
    anon_name = _ANON_NAME.fullmatch(entry.name)
    if anon_name is not None:
        vma.anon_name = anon_name[1]
    elif entry.name == STACK:
        vma.vm_flags |= VM_GROWSDOWN
        vma_add_pgoff(vma, stack_top_max(mm.task_size) - entry.end >> PAGE_SHIFT)
    elif entry.name and not entry.has_file and entry.name != HEAP:
        _make_special(vma, line)
    vma_start_write(vma)
    vma_store_new(mm, vma)
    vma_account(mm, vma.vm_flags, vma_pages(vma))
    return vma


def _flags(entry: MapsEntry, file: VmFile | None) -> int:
    """Return the VM_* flags that four characters, and what is mapped, stand for."""
    flags = _MAY | entry.readable * VM_READ | entry.writable * VM_WRITE
    flags |= entry.executable * VM_EXEC
    if entry.shared:
        flags |= VM_SHARED | VM_MAYSHARE
    if file is not None and file.kernel_page_size != PAGE_SIZE:
        return flags | VM_HUGETLB | VM_DONTEXPAND
    return flags | VM_ACCOUNT if entry.writable and not entry.shared else flags


def _make_special(vma: Vma, line: NumberedLine) -> None:
    """Make vma what the kernel maps for a process. Compare mm/mmap.c:_install_special_mapping()."""
    name = line.entry.name
    if name not in SPECIAL_FLAGS:
        known = ", ".join(each.decode() for each in (HEAP, STACK, *SPECIAL_FLAGS))
        reason = f"has a name that is not modelled, as {known} are"
        raise refusal(line.number, line.text, reason)
    vma.vm_ops = special_mapping(name)
    vma.vm_pgoff = 0
    own = special_flags(name, vma.vm_mm.release) & ~VM_ACCESS_FLAGS
    vma.vm_flags = vma.vm_flags & ~_MAY | own | VM_DONTEXPAND
