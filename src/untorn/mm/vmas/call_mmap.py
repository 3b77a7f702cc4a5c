"""What a file has to say to being mapped, once its place is free.

Compare include/linux/fs.h:call_mmap(), mm/vma.c:__mmap_new_vma(), mm/shmem.c:shmem_zero_setup().
"""

import errno

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT
from untorn.mm.accounting import may_commit
from untorn.mm.file import VmFile, shmem_zero_file
from untorn.mm.mm_struct import MmStruct
from untorn.mm.mman import VM_NORESERVE, VM_SHARED, VM_SYNC


def call_mmap(mm: MmStruct, vm_flags: int, file: VmFile | None, length: int) -> VmFile | None:
    """Return the file that is mapped in the end: shared memory has a new one.

    Raises:
        OSError: ENOMEM if that is more than may be promised; EOPNOTSUPP for VM_SYNC where the
            file's system refuses it.

    Preconditions: mmap_lock held for write.
    """
    if file is not None and file.refuses_sync and vm_flags & VM_SYNC:
        raise os_error(errno.EOPNOTSUPP)
    if not vm_flags & VM_SHARED or not (file is None or file.is_zero):
        return file
    if not vm_flags & VM_NORESERVE and not may_commit(mm, length >> PAGE_SHIFT):
        raise os_error(errno.ENOMEM)
    return shmem_zero_file(length)
