"""Make an engine address space from the maps of a real process.

This is not a method of MmStruct, because it reads the text of a /proc file, and mm/ knows nothing
of those. Users call Process.from_maps().

maps does not show everything, so the usual case is assumed: files are open for reading and writing
and longer than their mappings; writable private memory has VM_ACCOUNT; only the stack was ever
written to; and no memory has advice, locks or seals. The drivers of devices, sockets and the like
know more than the text. A call whose result depends on one raises NotModelledError; see
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
"""The VM_* flags of the gate VMA by its line, which is the last one if there is a gate VMA."""


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
    """Return an address space whose maps file is exactly this text.

    Args:
        text: A complete /proc/PID/maps, read in one piece.
        name: The name that reports show.
        mmap_base: Byte address below which mappings are placed. None: the end of the highest
            mapping that the kernel may have placed, with or without randomization. (The first
            mapping that it places ends at mmap_base.)
        topdown: False if mappings are placed bottom up; then mmap_base is the lowest address.
        heap: start_brk and brk, byte addresses. None: the bounds of the lines named [heap].
        start_stack: Byte address of the stack pointer at exec. None: near the top of [stack].
        data_size: Bytes of the program's data segment; see MmStruct.
        limits: The limits; RLIMIT_STACK as it was at exec.
        slab: The allocator of its VMA objects.
        task_size: The first byte address that the process cannot use: TASK_SIZE, with five-level
            page tables TASK_SIZE_5LEVEL, or for a 32-bit process IA32_PAGE_OFFSET or
            IA32_PAGE_OFFSET_3GB of maps/page.py. None: derived from [stack] and from mappings above
            4 GiB.
        hugetlb: The page size in bytes of all files on a device, by the device's major and minor
            number as maps shows them: 2 << 20 or 1 << 30 on a hugetlbfs, 4096 elsewhere. See
            files.py for the devices where the text itself tells.
        release: The release of Linux that it behaves like; see MmStruct.
        huge_pools: The machine's huge pages; see MmStruct. The mappings in the text have none of
            these pages in use or reserved.
        vm_committed: The memory committed to all processes of the machine; see MmStruct.

    Raises:
        ValueError: A line is torn, cut off, out of order, not one that the engine would write, or
            of something that is not modelled; the message has its number and the reason. Or the
            text does not tell task_size or a page size and the caller does not say it, or the
            engine does not model the release.
    """
    texts = re.findall(rb"[^\n]*\n|[^\n]+", text)
    gate_flags = _GATE_FLAGS.get(texts[-1], 0) if texts else 0
    lines = number_lines(texts[:-1] if gate_flags else texts)
    task_size = choose_task_size(lines, gate=bool(gate_flags), given=task_size)
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
        _add_vmas(mm, lines, files)
    finally:
        mmap_write_unlock(mm)
    return mm


def _add_vmas(mm: MmStruct, lines: list[NumberedLine], files: FilesOfMaps) -> None:
    """Add a VMA for each line. Preconditions: mmap_lock held for write; mm is empty."""
    for line in lines:
        vma = add_vma(mm, line, files.of(line.entry) if line.entry.has_file else None)
        if show_map(vma) != line.text:
            raise refusal(line.number, line.text, "is not as Linux writes it")
        if line.entry.name == STACK:
            vma_anon_prepare(mm, vma)


def add_vma(mm: MmStruct, line: NumberedLine, file: VmFile | None) -> Vma:
    """Add a VMA for a line that maps file. Preconditions: mmap_lock held for write."""
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
    """Return the VM_* flags for the four permission characters and the file of a line."""
    flags = _MAY | entry.readable * VM_READ | entry.writable * VM_WRITE
    flags |= entry.executable * VM_EXEC
    if entry.shared:
        flags |= VM_SHARED | VM_MAYSHARE
    if file is not None and file.kernel_page_size != PAGE_SIZE:
        return flags | VM_HUGETLB | VM_DONTEXPAND
    return flags | VM_ACCOUNT if entry.writable and not entry.shared else flags


def _make_special(vma: Vma, line: NumberedLine) -> None:
    """Make vma a special mapping of the kernel. Compare mm/mmap.c:_install_special_mapping()."""
    name = line.entry.name
    if name not in SPECIAL_FLAGS:
        known = ", ".join(each.decode() for each in (HEAP, STACK, *SPECIAL_FLAGS))
        reason = f"has a name that is not modelled; the engine knows {known}"
        raise refusal(line.number, line.text, reason)
    vma.vm_ops = special_mapping(name)
    vma.vm_pgoff = 0
    own = special_flags(name, vma.vm_mm.release) & ~VM_ACCESS_FLAGS
    vma.vm_flags = vma.vm_flags & ~_MAY | own | VM_DONTEXPAND
