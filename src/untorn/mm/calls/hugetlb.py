"""Choose the file that mmap maps for huge pages. Compare mm/mmap.c:ksys_mmap_pgoff()."""

import errno

from untorn.errors import os_error
from untorn.maps.page import PMD_SIZE, ULONG_MAX
from untorn.mm.file import VmFile, hugetlb_file_setup
from untorn.mm.hugetlb import HugePool
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import MAP_ANONYMOUS, MAP_HUGE_MASK, MAP_HUGE_SHIFT, MAP_HUGETLB


def hugetlb_file(
    mm: MmStruct, file: VmFile | None, length: int, flags: int
) -> tuple[VmFile | None, int]:
    """Return the file to map and the length in bytes. Anonymous huge pages get a new file.

    On hugetlbfs, the length is rounded up to whole huge pages.

    Args:
        mm: The address space that the mapping is for.
        file: The open file, or None for MAP_ANONYMOUS.
        length: Bytes.
        flags: MAP_* bits.

    Raises:
        OSError: EINVAL for MAP_HUGETLB with a file that is not on hugetlbfs, or with a page size
            that has no pool.
    """
    if flags & MAP_HUGETLB and flags & MAP_ANONYMOUS:
        pool = _pool_of(mm, flags)
        length = _whole_pages(length, pool.page_size)
        return hugetlb_file_setup(pool, length), length
    if file is not None and file.huge is not None:
        return file, _whole_pages(length, file.kernel_page_size)
    if flags & MAP_HUGETLB:
        raise os_error(errno.EINVAL)
    return file, length


def _pool_of(mm: MmStruct, flags: int) -> HugePool:
    """Return the pool for the page size in flags (as a binary logarithm), or the default pool."""
    log = (flags & MAP_HUGE_MASK) >> MAP_HUGE_SHIFT
    pool = mm.huge_pools.get(1 << log if log else PMD_SIZE)
    if pool is None:
        raise os_error(errno.EINVAL)
    return pool


def _whole_pages(length: int, page_size: int) -> int:
    """Round up to whole pages. As in Linux, the largest lengths become 0."""
    return length + -length % page_size & ULONG_MAX
