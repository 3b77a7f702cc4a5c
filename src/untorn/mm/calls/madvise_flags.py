"""Take advice that changes VMA flags.

MADV_MERGEABLE skips VMAs that KSM does not scan: mm/ksm.c:ksm_madvise(). Compare
mm/madvise.c:madvise_vma_behavior(), madvise_update_vma().
"""

import errno

from untorn.errors import os_error
from untorn.mm.mm_types import Vma
from untorn.mm.mman import (
    MADV_DODUMP,
    MADV_DOFORK,
    MADV_DONTDUMP,
    MADV_DONTFORK,
    MADV_HUGEPAGE,
    MADV_KEEPONFORK,
    MADV_MERGEABLE,
    MADV_NOHUGEPAGE,
    MADV_NORMAL,
    MADV_RANDOM,
    MADV_SEQUENTIAL,
    MADV_UNMERGEABLE,
    MADV_WIPEONFORK,
    VM_DONTCOPY,
    VM_DONTDUMP,
    VM_DROPPABLE,
    VM_HUGEPAGE,
    VM_MAYSHARE,
    VM_MERGEABLE,
    VM_NOHUGEPAGE,
    VM_RAND_READ,
    VM_SEQ_READ,
    VM_SHARED,
    VM_SPECIAL,
    VM_WIPEONFORK,
)
from untorn.mm.vmas.modify import vma_modify_flags

ADVICE_FLAGS = {
    MADV_NORMAL: (VM_RAND_READ | VM_SEQ_READ, 0),
    MADV_RANDOM: (VM_SEQ_READ, VM_RAND_READ),
    MADV_SEQUENTIAL: (VM_RAND_READ, VM_SEQ_READ),
    MADV_DONTFORK: (0, VM_DONTCOPY),
    MADV_DOFORK: (VM_DONTCOPY, 0),
    MADV_WIPEONFORK: (0, VM_WIPEONFORK),
    MADV_KEEPONFORK: (VM_WIPEONFORK, 0),
    MADV_DONTDUMP: (0, VM_DONTDUMP),
    MADV_DODUMP: (VM_DONTDUMP, 0),
    MADV_MERGEABLE: (0, VM_MERGEABLE),
    MADV_UNMERGEABLE: (VM_MERGEABLE, 0),
    MADV_HUGEPAGE: (VM_NOHUGEPAGE, VM_HUGEPAGE),
    MADV_NOHUGEPAGE: (VM_HUGEPAGE, VM_NOHUGEPAGE),
}
"""The VM_* bits that an advice clears and sets."""
_NEVER_SAME = VM_SHARED | VM_MAYSHARE | VM_SPECIAL | VM_DROPPABLE
"""VM_* bits of VMAs that KSM does not scan for identical pages."""


def change_flags(vma: Vma, start: int, end: int, advice: int) -> None:
    """Give [start, end) of vma the flags that the advice asks for.

    Preconditions: mmap_lock held for write.

    Raises:
        OSError: EAGAIN if a split would exceed max_map_count; EINVAL if vma may not be split.
    """
    if advice == MADV_MERGEABLE and vma.vm_flags & _NEVER_SAME:
        return
    cleared, added = ADVICE_FLAGS[advice]
    # If nothing changes, do not lock the VMA and do not wait for its readers.
    flags = vma.vm_flags & ~cleared | added
    if flags == vma.vm_flags:
        return
    try:
        vma_modify_flags(vma.vm_mm, vma, start, end, flags)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        raise os_error(errno.EAGAIN) from None  # as if memory were short for a moment
