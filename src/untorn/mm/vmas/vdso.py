"""Map what the kernel maps into every process: [vdso] and its data.

Compare arch/x86/entry/vdso/vma.c:map_vdso(), lib/vdso/datastore.c:vdso_install_vvar_mapping(),
mm/mmap.c:_install_special_mapping().
"""

from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE
from untorn.mm.file import VmOperations
from untorn.mm.mm_types import MmStruct, vma_pages
from untorn.mm.mman import (
    VM_DONTDUMP,
    VM_DONTEXPAND,
    VM_EXEC,
    VM_IO,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYWRITE,
    VM_MIXEDMAP,
    VM_PFNMAP,
    VM_READ,
)
from untorn.mm.vma_lock import vma_start_write
from untorn.mm.vmas.accounting import vma_account
from untorn.mm.vmas.unmapped_area import get_unmapped_area
from untorn.mm.vmas.vm_area import vm_area_alloc, vma_store_new
from untorn.releases.changes import VVAR_HAS_PAGES, VVAR_NOT_IO, VVAR_VCLOCK
from untorn.releases.release import Release

VVAR_FLAGS = VM_READ | VM_MAYREAD | VM_IO | VM_PFNMAP | VM_DONTDUMP
VDSO_FLAGS = VM_READ | VM_EXEC | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC
SPECIAL_FLAGS = {b"[vvar]": VVAR_FLAGS, b"[vvar_vclock]": VVAR_FLAGS, b"[vdso]": VDSO_FLAGS}
"""VM_* flags by name before VVAR_HAS_PAGES, without VM_DONTEXPAND."""
_PARTS = ((b"[vvar]", 4), (b"[vvar_vclock]", 2), (b"[vdso]", 2))
"""The names and sizes in pages, from the lowest address up, as in Linux 6.18."""
_PARTS_BEFORE_VCLOCK = ((b"[vvar]", 4), (b"[vdso]", 2))


def special_flags(name: bytes, release: Release) -> int:
    """Return the VM_* flags of the special mapping with a name, without VM_DONTEXPAND."""
    flags = SPECIAL_FLAGS[name]
    if name == b"[vvar]" and release.has(VVAR_HAS_PAGES):
        flags = flags & ~VM_PFNMAP | VM_MIXEDMAP
    if name == b"[vvar]" and release.has(VVAR_NOT_IO):
        flags &= ~VM_IO
    return flags


def map_vdso(mm: MmStruct) -> None:
    """Map [vdso] and its data side by side, where there is room.

    Preconditions: mmap_lock held for write.

    Raises:
        OSError: ENOMEM if there is no room.
    """
    # The code addresses its data relative to itself, so there must be room for both together.
    parts = _PARTS if mm.release.has(VVAR_VCLOCK) else _PARTS_BEFORE_VCLOCK
    size = sum(pages for _, pages in parts) * PAGE_SIZE
    start = get_unmapped_area(mm, None, 0, size, 0, 0)
    for name, pages in parts:
        end = start + pages * PAGE_SIZE
        install_special_mapping(mm, start, end, special_flags(name, mm.release), name)
        start = end


def install_special_mapping(mm: MmStruct, start: int, end: int, flags: int, name: bytes) -> None:
    """Map the hole [start, end), byte addresses, as a special mapping of the kernel.

    Preconditions: mmap_lock held for write.
    """
    vma = vm_area_alloc(mm)
    vma.vm_start, vma.vm_end = start, end
    vma.vm_pgoff, vma.vm_anon_pgoff = 0, start >> PAGE_SHIFT
    vma.vm_flags = flags | mm.def_flags | VM_DONTEXPAND
    vma.vm_file, vma.vm_ops = None, special_mapping(name)
    # It never merges, because VM_DONTEXPAND is one of VM_SPECIAL.
    vma_start_write(vma)
    vma_store_new(mm, vma)
    vma_account(mm, vma.vm_flags, vma_pages(vma))


def special_mapping(name: bytes) -> VmOperations:
    """Return the operations of [vdso] and its kin. Compare mm/mmap.c:special_mapping_vmops."""
    return VmOperations(name, may_split=False, has_close=True)
