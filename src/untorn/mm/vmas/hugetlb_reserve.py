"""What a VMA of hugetlbfs reserves of its pool, from its mmap to its end.

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
    """Reserve what is to be mapped; return the resv_map of the VMA, if it is to have one.

    Args:
        file: On hugetlbfs; it grows to the end of what can be written.
        inode: Its inode.
        pgoff: Small pages into the file.
        length: Bytes, whole huge pages.
        vm_flags: VM_* bits of the mapping.

    Raises:
        OSError: EINVAL if the offset is not of whole huge pages; ENOMEM if the pool is short.
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
    """Return the inode of a VMA of hugetlbfs. Preconditions: vma kept still."""
    inode = None if vma.vm_file is None else vma.vm_file.huge
    assert inode is not None, f"{vma} is not of hugetlbfs"
    return inode


def huge_index(vma: Vma, addr: int) -> int:
    """Return which huge page of its file vma maps at byte address addr.

    Preconditions: vma kept still. Compare mm/hugetlb.c:vma_hugecache_offset().
    """
    return ((vma.vm_pgoff << PAGE_SHIFT) + addr - vma.vm_start) // vma_page_size(vma)


def vma_page_size(vma: Vma) -> int:
    """Return the bytes of a page of a VMA of hugetlbfs. Preconditions: vma kept still."""
    return hugetlb_inode(vma).pool.page_size


def hugetlb_vm_open(vma: Vma) -> None:
    """Let a new VMA be one more user of its inode, if it is of hugetlbfs.

    Preconditions: mmap_lock held for write.
    """
    if vma.vm_flags & VM_HUGETLB:
        hugetlb_inode(vma).get()


def hugetlb_vm_close(vma: Vma) -> None:
    """Give back what a VMA of hugetlbfs had reserved and not used, when its pages are unmapped.

    Preconditions: no other task finds vma, or mmap_lock held for write.
    """
    inode = hugetlb_inode(vma)
    if vma.resv_map is not None:
        first, last = huge_index(vma, vma.vm_start), huge_index(vma, vma.vm_end)
        with inode.pool.lock:
            used = sum(first <= index < last for index in vma.resv_map)
            inode.pool.unreserve(last - first - used)
        vma.resv_map = None
    inode.release()
