"""An address space of the engine that starts from the maps of a real process.

It stands here, and not as a method of MmStruct, because what it reads is the text of a file of
/proc, and mm/ knows nothing of those; Process.from_maps() is the door to it.

What maps does not show is taken to be as it is most often: files are open for reading and
writing and longer than what is mapped of them, writable private memory is charged for, nothing
but the stack was ever written, and nobody gave advice, locked or sealed.
"""

import re

from untorn.fs.proc.from_maps_files import FilesOfMaps
from untorn.fs.proc.maps_entry import MapsEntry
from untorn.fs.proc.maps_line import GATE_LINE, show_map
from untorn.mm.limits import Limits
from untorn.mm.mm_struct import MmStruct
from untorn.mm.mman import (
    VM_ACCOUNT,
    VM_DONTEXPAND,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)
from untorn.mm.mmap_layout import largest_shift, pick_mmap_base
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.page import PAGE_SHIFT, TASK_SIZE, page_aligned
from untorn.mm.vdso import VVAR_FLAGS
from untorn.mm.vm_operations import special_mapping
from untorn.mm.vma import Vma, VmaSlab, vm_area_alloc, vm_area_cachep
from untorn.mm.vma_anon import vma_anon_prepare
from untorn.mm.vma_lock import vma_start_write
from untorn.mm.vma_store import vma_account, vma_pages, vma_store_new

_WORD = 8
_HEAP, _STACK = b"[heap]", b"[stack]"
_ANON_NAME = re.compile(rb"\[anon(?:_shmem)?:(.*)\]", re.DOTALL)
_MAY = VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC


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

    Raises:
        ValueError: A line is torn, cut off, out of order, or not one that the engine could have
            written; the message has its number and the reason.
    """
    lines = re.findall(rb"[^\n]*\n|[^\n]+", text)
    gate = lines[-1:] == [GATE_LINE]
    entries = _parse(lines[: len(lines) - gate])
    limits = limits or Limits()
    if mmap_base is None:
        mmap_base = _mmap_base(entries, limits, topdown)
    mm = MmStruct(
        name, limits=limits, mmap_base=mmap_base, topdown=topdown, gate_vma=gate, slab=slab
    )
    mm.data_size = data_size
    mm.start_brk, mm.brk = _heap(entries) if heap is None else heap
    mm.start_stack = _start_stack(entries) if start_stack is None else start_stack
    mmap_write_lock(mm)
    try:
        _fill(mm, entries, lines)
    finally:
        mmap_write_unlock(mm)
    return mm


def _parse(lines: list[bytes]) -> list[MapsEntry]:
    entries: list[MapsEntry] = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(MapsEntry.parse(line))
            _check_place(entries)
        except ValueError as error:
            raise ValueError(f"line {number} of the maps {error}: {line!r}") from None
    return entries


def _check_place(entries: list[MapsEntry]) -> None:
    """Refuse the last entry if it does not fit the address space, or what comes before it."""
    last = entries[-1]
    if last.end > TASK_SIZE:
        raise ValueError("lies above what a process may map")
    if not all(map(page_aligned, (last.start, last.end, last.offset))):
        raise ValueError("is not of whole pages")
    if len(entries) > 1 and last.start < entries[-2].end:
        raise ValueError("begins below the end of the line before it")


def _mmap_base(entries: list[MapsEntry], limits: Limits, topdown: bool) -> int:
    """Return the border of what was placed, as far as randomization can have moved it.

    Above the stack lies what has a place of its own there: the vdso, if that is randomized too.
    """
    base = pick_mmap_base(limits, topdown=topdown)
    if topdown:
        stacks = [entry.start for entry in entries if entry.name == _STACK]
        top = min(base, *stacks) if stacks else base
        ends = [
            entry.end for entry in entries if base - largest_shift(TASK_SIZE) <= entry.end <= top
        ]
        return max(ends, default=base)
    starts = [
        entry.start for entry in entries if base <= entry.start <= base + largest_shift(TASK_SIZE)
    ]
    return min(starts, default=base)


def _heap(entries: list[MapsEntry]) -> tuple[int, int]:
    """Return start_brk and brk as the lines called [heap] have them."""
    heaps = [entry for entry in entries if entry.name == _HEAP]
    return (heaps[0].start, heaps[-1].end) if heaps else (0, 0)


def _start_stack(entries: list[MapsEntry]) -> int:
    """Return a stack pointer that lies in every line called [stack]: two may meet there."""
    stacks = [entry for entry in entries if entry.name == _STACK]
    if not stacks:
        return 0
    return stacks[0].end - _WORD if len(stacks) == 1 else stacks[-1].start


def _fill(mm: MmStruct, entries: list[MapsEntry], lines: list[bytes]) -> None:
    """Add a VMA for each entry. Preconditions: mmap_lock held for write; mm is empty."""
    files = FilesOfMaps()
    for number, (entry, line) in enumerate(zip(entries, lines, strict=False), 1):
        vma = _add(mm, entry, files)
        if show_map(vma) != line:
            raise ValueError(f"line {number} of the maps is not as Linux writes it: {line!r}")
        if entry.name == _STACK:
            vma_anon_prepare(mm, vma)


def _add(mm: MmStruct, entry: MapsEntry, files: FilesOfMaps) -> Vma:
    vma = vm_area_alloc(mm)
    vma.vm_start, vma.vm_end = entry.start, entry.end
    vma.vm_file = files.of(entry) if entry.has_file else None
    vma.vm_ops = vma.vm_file.vm_ops if vma.vm_file is not None else None
    vma.vm_flags = _permissions(entry)
    vma.vm_pgoff = (entry.offset if entry.has_file else entry.start) >> PAGE_SHIFT
    anon_name = _ANON_NAME.fullmatch(entry.name)
    if anon_name is not None:
        vma.anon_name = anon_name[1]
    elif entry.name == _STACK:
        vma.vm_flags |= VM_GROWSDOWN
    elif entry.name and not entry.has_file and entry.name != _HEAP:
        _make_special(vma, entry.name)
    vma_start_write(vma)
    vma_store_new(mm, vma)
    vma_account(mm, vma.vm_flags, vma_pages(vma))
    return vma


def _permissions(entry: MapsEntry) -> int:
    """Return the VM_* flags that four characters stand for."""
    read, write, execute = (char != ord("-") for char in entry.permissions[:3])
    flags = _MAY | read * VM_READ | write * VM_WRITE | execute * VM_EXEC
    if entry.shared:
        return flags | VM_SHARED | VM_MAYSHARE
    return flags | VM_ACCOUNT if write else flags


def _make_special(vma: Vma, name: bytes) -> None:
    """Make vma what the kernel maps for a process. Compare mm/mmap.c:_install_special_mapping()."""
    vma.vm_ops = special_mapping(name)
    vma.vm_pgoff = 0
    if name.startswith(b"[vvar"):
        vma.vm_flags = VVAR_FLAGS
    vma.vm_flags |= VM_DONTEXPAND
