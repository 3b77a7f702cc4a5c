"""Truncate or extend a file. Compare mm/truncate.c, fs/open.c:do_sys_ftruncate()."""

import errno
from collections.abc import Iterable

from untorn.errors import NotModelledError, os_error
from untorn.maps.page import PAGE_SHIFT, page_align
from untorn.mm.file import MAX_LFS_FILESIZE, VmFile
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.vma_lock import vma_start_write


def do_ftruncate(mm: MmStruct, file: VmFile, others: Iterable[VmFile], length: int) -> None:
    """Set the size of a file. Drop all pages beyond it, including private copies.

    Args:
        mm: The address space whose mappings lose pages; its mmap_lock is taken for write. (Linux
            finds the mappings of all processes through the file.)
        file: The file as the caller opened it.
        others: All files that may be other opens of the same inode.
        length: Bytes.

    Raises:
        OSError: EINVAL for a negative length, or if the file is not a regular file or not open for
            writing; EPERM if it is append-only.
        NotModelledError: The file is on hugetlbfs.

    Source: ftruncate(2).
    """
    if length > MAX_LFS_FILESIZE or not file.can_mmap or file.is_zero or not file.writable:
        raise os_error(errno.EINVAL)
    if file.append_only:
        raise os_error(errno.EPERM)
    if file.huge is not None:
        raise NotModelledError("ftruncate of a file on hugetlbfs")
    first = page_align(length) >> PAGE_SHIFT
    mmap_write_lock(mm)
    try:
        vmas = [vma for _, _, vma in mm.mm_mt if _maps(vma, file)]
        # Set the size first, so that no later fault finds a page beyond it.
        for each in (file, *others, *(vma.vm_file for vma in vmas)):
            if each is not None and each.mapping is file.mapping:
                each.size = length
        for vma in vmas:
            _unmap_from(vma, first)
    finally:
        mmap_write_unlock(mm)
    file.mapping.punch_hole(first, MAX_LFS_FILESIZE)


def _maps(vma: Vma, file: VmFile) -> bool:
    return vma.vm_file is not None and vma.vm_file.mapping is file.mapping


def _unmap_from(vma: Vma, first: int) -> None:
    """Unmap the pages of a VMA from page number first of its file on, including private copies.

    Preconditions: mmap_lock held for write.
    """
    start = vma.vm_start + (max(first - vma.vm_pgoff, 0) << PAGE_SHIFT)
    if start < vma.vm_end:
        vma_start_write(vma)  # no fault can happen from here on
        vma.vm_mm.page_table.clear(start, vma.vm_end, guards=False)
