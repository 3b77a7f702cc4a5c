"""Check whether a VMA allows an advice, in Linux's order of checks.

Compare mm/madvise.c:can_madvise_modify(), madvise_dontneed_free_valid_vma(), can_madv_lru_vma(),
is_valid_guard_vma(); mm/huge_memory.c:__thp_vma_allowable_orders().
"""

import errno

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT, PMD_SIZE
from untorn.mm.filemap import PageKind
from untorn.mm.mm_types import MmStruct, Vma, vma_is_anonymous, vma_kernel_pagesize
from untorn.mm.mman import (
    MADV_COLD,
    MADV_COLLAPSE,
    MADV_DODUMP,
    MADV_DOFORK,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
    MADV_KEEPONFORK,
    MADV_PAGEOUT,
    MADV_REMOVE,
    MADV_WIPEONFORK,
    VM_DROPPABLE,
    VM_HUGETLB,
    VM_IO,
    VM_LOCKED,
    VM_MAYWRITE,
    VM_NOHUGEPAGE,
    VM_PFNMAP,
    VM_SHARED,
    VM_SPECIAL,
    VM_WRITE,
)
from untorn.mm.vmas.seal import is_sealed, refuse_sealed
from untorn.releases.changes import DOFORK_OF_SPECIAL, GUARDS_OF_FILES, SEAL_COVERS_DEV_ZERO

_DISCARDS = (
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_REMOVE,
    MADV_DONTFORK,
    MADV_WIPEONFORK,
    MADV_GUARD_INSTALL,
)
_GUARDS = MADV_GUARD_INSTALL, MADV_GUARD_REMOVE
_UNSUITED = {
    MADV_DONTNEED: VM_LOCKED | VM_PFNMAP,
    MADV_DONTNEED_LOCKED: VM_PFNMAP,
    MADV_COLD: VM_LOCKED | VM_PFNMAP | VM_HUGETLB,
    MADV_PAGEOUT: VM_LOCKED | VM_PFNMAP | VM_HUGETLB,
    MADV_FREE: VM_LOCKED | VM_PFNMAP,
    MADV_REMOVE: VM_LOCKED,
    MADV_GUARD_INSTALL: VM_LOCKED | VM_SPECIAL,
    MADV_GUARD_REMOVE: VM_SPECIAL,
    MADV_COLLAPSE: VM_NOHUGEPAGE | VM_SPECIAL,
    MADV_DOFORK: VM_IO,
    MADV_WIPEONFORK: VM_SHARED,
    MADV_KEEPONFORK: VM_DROPPABLE,
    MADV_DODUMP: VM_SPECIAL | VM_DROPPABLE,
}
"""The VM_* bits that a VMA must not have for an advice."""


def check_advice(vma: Vma, start: int, advice: int) -> None:
    """Refuse advice that vma does not allow, for a range that begins at byte address start.

    Preconditions: vma stable: read-locked, or mmap_lock held.

    Raises:
        OSError: EPERM, EINVAL or EACCES; see do_madvise().
    """
    # Seals come first: EPERM even where the advice makes no sense for the VMA.
    if advice in _DISCARDS and _is_protected(vma):
        raise os_error(errno.EPERM)
    if vma.vm_flags & _unsuited(vma, advice) or not _suits(vma, start, advice):
        raise os_error(errno.EINVAL)
    shared_maywrite = VM_SHARED | VM_MAYWRITE
    if advice == MADV_REMOVE and vma.vm_flags & shared_maywrite != shared_maywrite:
        raise os_error(errno.EACCES)


def check_seals(mm: MmStruct, start: int, end: int, advice: int) -> None:
    """Refuse to discard sealed memory, if the release checks the whole range first.

    Preconditions: mmap_lock held.

    Raises:
        OSError: EPERM.
    """
    if advice in _DISCARDS:
        refuse_sealed(mm, start, end, _is_protected)


def _is_protected(vma: Vma) -> bool:
    """Return whether vma is sealed so that its pages must not be discarded.

    That is so for sealed anonymous memory that cannot be written. Seals do not protect mappings of
    files from advice, not even private ones.
    """
    if vma.vm_file is not None and not vma.vm_mm.release.has(SEAL_COVERS_DEV_ZERO):
        return False
    return is_sealed(vma) and vma_is_anonymous(vma) and not vma.vm_flags & VM_WRITE


def _unsuited(vma: Vma, advice: int) -> int:
    """Return the VM_* bits that vma must not have. MADV_DODUMP allows hugetlbfs, though special."""
    if advice == MADV_DODUMP and vma.vm_flags & VM_HUGETLB:
        return VM_DROPPABLE
    if advice == MADV_DOFORK and vma.vm_mm.release.has(DOFORK_OF_SPECIAL):
        return VM_SPECIAL
    return _UNSUITED.get(advice, 0)


def _suits(vma: Vma, start: int, advice: int) -> bool:
    if advice in (MADV_DONTNEED, MADV_DONTNEED_LOCKED):
        return start % vma_kernel_pagesize(vma) == 0
    if advice == MADV_FREE:
        return vma_is_anonymous(vma)
    if advice == MADV_WIPEONFORK:
        return vma.vm_file is None
    if advice == MADV_REMOVE:
        return vma.vm_file is not None
    if advice in _GUARDS:
        return vma.vm_mm.release.has(GUARDS_OF_FILES) or _is_writable_memory(vma)
    return advice != MADV_COLLAPSE or _may_be_huge(vma)


def _is_writable_memory(vma: Vma) -> bool:
    return vma_is_anonymous(vma) and bool(vma.vm_flags & VM_MAYWRITE)


def _may_be_huge(vma: Vma) -> bool:
    """Return whether vma contains a whole huge page and does not map a file on a disk.

    Anonymous memory must have been written to.
    """
    file = vma.vm_file
    if file is None and vma.anon_vma is None:
        return False
    if file is not None and file.mapping.kind is PageKind.FILE:
        return False
    # A huge page of a file must be aligned in the file and in memory alike.
    shift = (vma.vm_start >> PAGE_SHIFT) - vma.vm_pgoff
    if file is not None and (shift << PAGE_SHIFT) % PMD_SIZE:
        return False
    last = vma.vm_end - PMD_SIZE & -PMD_SIZE
    # If vma ends below the first huge-page boundary, Linux's subtraction wraps, and it accepts vma.
    return last >= vma.vm_start or last < 0
