"""The files that VMAs map."""

from dataclasses import dataclass, field
from itertools import count

from untorn.maps.fields import Device
from untorn.maps.page import PAGE_SIZE
from untorn.mm.filemap import AddressSpace
from untorn.mm.hugetlb import HugeInode, HugePool

MAX_LFS_FILESIZE = (1 << 63) - 1
"""Bytes. Source: include/linux/fs.h."""
_DISK = Device(8, 1)
SHMEM_DEVICE = Device(0, 1)
"""The device of unnamed shared memory."""
_shmem_inodes = count(1025)  # next() of a count is atomic on every build


@dataclass(frozen=True, slots=True)
class VmOperations:
    """The operations of one kind of VMA. Immutable, shared by all VMAs of that kind.

    Attributes:
        name: The name, with brackets, that maps shows for such a VMA if it has no file.
        may_split: Whether such a VMA may be split. The kernel's special mappings may not.
        has_close: Whether the VMA has a close operation. Then a merge must not remove it: it ends
            only where its mapping does.
        has_driver: Whether a driver, which is not modelled, decides what may be done with such a
            VMA; see driver.py.
        has_pagesize: Whether that driver also decides the size of the pages that map it.
    """

    name: bytes
    may_split: bool = True
    has_close: bool = False
    has_driver: bool = False
    has_pagesize: bool = False


@dataclass(eq=False, slots=True)
class VmFile:
    """An open file, Linux's struct file. If a path is opened twice, there are two objects.

    Attributes:
        path: Bytes as d_path() gives them, including " (deleted)" if the file is deleted.
        device, inode: The inode's device and number, as stat(2) gives them.
        size: Bytes; a page that begins beyond it cannot be accessed.
        mmap_size_max: Bytes; no mapping goes beyond it. Compare mm/mmap.c:file_mmap_size_max().
        readable, writable: It is open for reading, for writing.
        append_only: The inode has the append-only attribute.
        noexec: It is on a mount with noexec.
        can_mmap: It has an mmap operation; a directory has none.
        swapfile: It is in use as swap space.
        write_sealed: It is a memfd with F_SEAL_WRITE or F_SEAL_FUTURE_WRITE.
        is_segment: It is a segment of System V shared memory.
        is_zero: It is /dev/zero. A private mapping of it is anonymous memory with the file's name;
            a shared one maps a new file, as shared anonymous memory does.
        is_anon_shmem: It has no name: it is the file of shared anonymous memory.
        huge_aligned: Its file system (ext4 or xfs) aligns mappings that can hold a huge page.
        refuses_sync: It knows MAP_SYNC, but refuses it late, because it has no DAX (a regular file
            of ext4 or xfs).
        stacked: It is on overlayfs, whose mmap operation replaces it by the lower file, too late
            for the new mapping to merge with its neighbours. Compare fs/backing-file.c.
        huge: Its inode if it is on hugetlbfs, or None.
        vm_ops: The operations of VMAs that map it, or None if they have none of their own.
        build_id: The ELF build id, at most 20 bytes; empty if it has none.
        mapping: The page cache of the inode, shared by all opens of it.
    """

    path: bytes
    device: Device = _DISK
    inode: int = 1
    size: int = MAX_LFS_FILESIZE
    mmap_size_max: int = MAX_LFS_FILESIZE
    readable: bool = True
    writable: bool = True
    append_only: bool = False
    noexec: bool = False
    can_mmap: bool = True
    swapfile: bool = False
    write_sealed: bool = False
    is_segment: bool = False
    is_zero: bool = False
    is_anon_shmem: bool = False
    huge_aligned: bool = False
    refuses_sync: bool = False
    stacked: bool = False
    huge: HugeInode | None = None
    vm_ops: VmOperations | None = None
    build_id: bytes = b""
    mapping: AddressSpace = field(default_factory=AddressSpace)

    @property
    def kernel_page_size(self) -> int:
        """The size in bytes of the pages that map the file; above 4096 if it is on hugetlbfs."""
        return PAGE_SIZE if self.huge is None else self.huge.pool.page_size


def shmem_zero_file(size: int) -> VmFile:
    """Create a file of size bytes for shared anonymous memory. Compare mm/shmem.c."""
    return VmFile(
        b"/dev/zero (deleted)",
        SHMEM_DEVICE,
        next(_shmem_inodes),
        size,
        is_anon_shmem=True,
        mapping=AddressSpace(shmem=True),
    )


def hugetlb_file_setup(pool: HugePool, size: int) -> VmFile:
    """Create a file of size bytes for MAP_HUGETLB. Compare fs/hugetlbfs/inode.c."""
    inode = HugeInode(pool)
    path = b"/anon_hugepage (deleted)"
    return VmFile(path, pool.device, inode.number, size, huge=inode)
