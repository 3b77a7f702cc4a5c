"""The pages that a VMA of hugetlbfs reserves from its pool, from mmap until it is gone.

Compare mm/hugetlb.c:hugetlb_reserve_pages(), hugetlb_vm_op_open(), hugetlb_vm_op_close();
fs/hugetlbfs/inode.c:hugetlbfs_file_mmap().
"""

import errno

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT
from untorn.mm.file import MAX_LFS_FILESIZE, VmFile
from untorn.mm.hugetlb import HugeInode
from untorn.mm.mm_types import Vma
from untorn.mm.mman import VM_HUGETLB, VM_MAYSHARE, VM_NORESERVE, VM_WRITE


def hugetlbfs_file_mmap(
    file: VmFile, inode: HugeInode, pgoff: int, length: int, vm_flags: int
) -> set[int] | None:
    """Reserve the pages of a new mapping. Return the resv_map of its VMA, or None.

    Args:
        file: A file on hugetlbfs; a writable mapping extends it to the mapping's end.
        inode: The inode of file.
        pgoff: Small pages into the file.
        length: Bytes, a multiple of the huge page size.
        vm_flags: VM_* bits of the mapping.

    Raises:
        OSError: EINVAL if the offset is not a multiple of the huge page size; ENOMEM if the pool
            has too few pages.
    """
    page_size, offset = file.kernel_page_size, pgoff << PAGE_SHIFT
    end = offset + length
    if offset % page_size or end > MAX_LFS_FILESIZE:
        raise os_error(errno.EINVAL)
    first, last = offset // page_size, end // page_size
    private = not vm_flags & VM_MAYSHARE
    reserves = not vm_flags & VM_NORESERVE
    with inode.pool.lock:
        if reserves and not _reserve(inode, first, last, private=private):
            raise os_error(errno.ENOMEM)
        if vm_flags & VM_WRITE:
            file.size = max(file.size, end)
    return set() if private and reserves else None


def _reserve(inode: HugeInode, first: int, last: int, *, private: bool) -> bool:
    """Preconditions: the pool's lock held."""
    return inode.pool.reserve(last - first) if private else inode.reserve(first, last)


def hugetlb_inode(vma: Vma) -> HugeInode:
    """Return the inode of a VMA of hugetlbfs. Preconditions: vma stable."""
    inode = None if vma.vm_file is None else vma.vm_file.huge
    assert inode is not None, f"{vma} is not of hugetlbfs"
    return inode


def huge_index(vma: Vma, addr: int) -> int:
    """Return the number of the huge page in the file that vma maps at byte address addr.

    Preconditions: vma stable. Compare mm/hugetlb.c:vma_hugecache_offset().
    """
    return ((vma.vm_pgoff << PAGE_SHIFT) + addr - vma.vm_start) // vma_page_size(vma)


def vma_page_size(vma: Vma) -> int:
    """Return the page size in bytes of a VMA of hugetlbfs. Preconditions: vma stable."""
    return hugetlb_inode(vma).pool.page_size


def hugetlb_vm_open(vma: Vma) -> None:
    """Count a new VMA as a user of its inode, if it is a VMA of hugetlbfs.

    Preconditions: mmap_lock held for write.
    """
    if vma.vm_flags & VM_HUGETLB:
        hugetlb_inode(vma).get()


def hugetlb_vm_close(vma: Vma) -> None:
    """Give back the unused reservations of a VMA of hugetlbfs, and drop its use of the inode.

    Preconditions: its pages are unmapped; no other task can find vma, or mmap_lock is held for
        write.
    """
    inode = hugetlb_inode(vma)
    if vma.resv_map is not None:
        first, last = huge_index(vma, vma.vm_start), huge_index(vma, vma.vm_end)
        with inode.pool.lock:
            used = sum(first <= index < last for index in vma.resv_map)
            inode.pool.unreserve(last - first - used)
        vma.resv_map = None
    inode.release()
