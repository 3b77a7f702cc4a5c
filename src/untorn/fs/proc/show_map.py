"""Write a line of /proc/PID/maps exactly as Linux does.

Compare fs/proc/task_mmu.c:show_vma_header_prefix(), show_map_vma(), get_vma_name();
proc_pid_maps(5).
"""

from untorn.maps.entry import GATE_NAME, maps_line
from untorn.maps.fields import NO_DEVICE
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE
from untorn.mm.mm_types import MmStruct, Vma
from untorn.releases.changes import HEAP_OVERLAPS

_GATE = 0xFFFF_FFFF_FF60_0000


def gate_line(flags: int) -> bytes:
    """Return the line of a gate VMA with these VM_* flags; see MmStruct."""
    return maps_line(_GATE, _GATE + PAGE_SIZE, flags & 7, 0, NO_DEVICE, 0, GATE_NAME)


def show_map(vma: Vma) -> bytes:
    """Return the line of vma. Preconditions: vma is stable, or is a private copy."""
    permissions = permission_bits(vma)
    start, end, name = vma.vm_start, vma.vm_end, vma_name(vma)
    file = vma.vm_file
    if file is None:
        return maps_line(start, end, permissions, 0, NO_DEVICE, 0, name)
    offset = vma.vm_pgoff << PAGE_SHIFT
    return maps_line(start, end, permissions, offset, file.device, file.inode, name)


def permission_bits(vma: Vma) -> int:
    """Return the bits of Permissions that vma has. Preconditions: as show_map()."""
    return vma.vm_flags & 7 | vma.vm_flags >> 4 & 8  # VM_MAYSHARE is 0x80


def vma_name(vma: Vma) -> bytes:
    """Return vma's name as the ioctl gives it; empty if it has none. maps escapes its newlines.

    Preconditions: as show_map().
    """
    if vma.vm_file is not None:
        return b"[anon_shmem:%s]" % vma.anon_name if vma.anon_name else vma.vm_file.path
    if vma.vm_ops is not None:
        return vma.vm_ops.name
    mm: MmStruct = vma.vm_mm
    if _is_initial_heap(vma, mm):
        return b"[heap]"
    if vma.vm_start <= mm.start_stack <= vma.vm_end:
        return b"[stack]"
    return b"[anon:%s]" % vma.anon_name if vma.anon_name else b""


def _is_initial_heap(vma: Vma, mm: MmStruct) -> bool:
    """Compare include/linux/mm.h:vma_is_initial_heap()."""
    if mm.release.has(HEAP_OVERLAPS):
        return vma.vm_start < mm.brk and vma.vm_end > mm.start_brk
    return vma.vm_start <= mm.brk and vma.vm_end >= mm.start_brk
