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
"""Of shared memory without a name."""
_shmem_inodes = count(1025)  # next() of a count is one atomic step on every build


@dataclass(frozen=True, slots=True)
class VmOperations:
    """An immutable value that VMAs of one kind share.

    Attributes:
        name: What maps calls such a VMA, with brackets, if it has no file.
        may_split: Whether it may be cut: what the kernel maps for a process may not.
        has_close: Whether something is done when such a VMA goes. A merge must not make it go:
            it ends only where its mapping does.
        has_driver: Whether a driver, which is not modelled, has a say in what may be done with
            such a VMA; see driver.py.
        has_pagesize: Whether it also decides by pages of what size it is mapped.
    """

    name: bytes
    may_split: bool = True
    has_close: bool = False
    has_driver: bool = False
    has_pagesize: bool = False


@dataclass(eq=False, slots=True)
class VmFile:
    """An open file, in Linux's struct file. Two opens of one path are two of these.

    Attributes:
        path: Bytes as d_path() gives them, " (deleted)" included if it is.
        device, inode: Of the inode, as stat(2) gives them.
        size: Bytes; a page that begins beyond it cannot be accessed.
        mmap_size_max: Bytes; no mapping goes beyond it. Compare mm/mmap.c:file_mmap_size_max().
        readable, writable: Open for reading, for writing.
        append_only: The inode has the append-only attribute.
        noexec: It lies on a mount with noexec.
        can_mmap: It has an mmap operation; a directory has not.
        swapfile: It is swapped to.
        write_sealed: It is a memfd with F_SEAL_WRITE or F_SEAL_FUTURE_WRITE.
        is_segment: It is a segment of System V shared memory.
        is_zero: It is /dev/zero: mapped privately it is anonymous memory with the file's name,
            mapped shared it is a new file, as shared anonymous memory has.
        is_anon_shmem: It has no name: the file of shared anonymous memory.
        huge_aligned: Its file system places mappings that can hold a huge page so that they do
            (ext4 and xfs).
        refuses_sync: It knows MAP_SYNC, but refuses it late, as there is no DAX (regular files of
            ext4 and xfs).
        stacked: It lies on overlayfs, whose mmap operation puts the file below in its place, too
            late for a new mapping to join its neighbours. Compare fs/backing-file.c.
        huge: Its inode if it lies on hugetlbfs, or None.
        vm_ops: Of the VMAs that map it, or None if they do nothing their own way.
        build_id: The ELF build id, at most 20 bytes; empty if it has none.
        mapping: The page cache of the inode: one for all opens of it.
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
        """Bytes of the pages that map it; more than 4096 if it lies on hugetlbfs."""
        return PAGE_SIZE if self.huge is None else self.huge.pool.page_size


def shmem_zero_file(size: int) -> VmFile:
    """Return a new file of size bytes for shared anonymous memory. Compare mm/shmem.c."""
    return VmFile(
        b"/dev/zero (deleted)",
        SHMEM_DEVICE,
        next(_shmem_inodes),
        size,
        is_anon_shmem=True,
        mapping=AddressSpace(shmem=True),
    )


def hugetlb_file_setup(pool: HugePool, size: int) -> VmFile:
    """Return a new file of size bytes for MAP_HUGETLB. Compare fs/hugetlbfs/inode.c."""
    inode = HugeInode(pool)
    path = b"/anon_hugepage (deleted)"
    return VmFile(path, pool.device, inode.number, size, huge=inode)
