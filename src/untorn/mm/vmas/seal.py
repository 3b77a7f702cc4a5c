"""Seals that were asked of a whole range before anything else: Linux 6.10 and 6.11."""

import errno
from collections.abc import Callable

from untorn.errors import os_error
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import VM_SEALED
from untorn.releases.changes import SEALS_ONE_BY_ONE


def is_sealed(vma: Vma) -> bool:
    """Say whether vma was sealed by mseal(2)."""
    return bool(vma.vm_flags & VM_SEALED)


def refuse_sealed(
    mm: MmStruct, start: int, end: int, protects: Callable[[Vma], bool] = is_sealed
) -> None:
    """Refuse a range with a VMA that is protected, where the release asks that first.

    Others meet the seal when they come to the VMA.

    Preconditions: mmap_lock held.

    Raises:
        OSError: EPERM. Compare mm/mseal.c:can_modify_mm() of Linux 6.10.
    """
    if mm.release.has(SEALS_ONE_BY_ONE):
        return
    vma = mm.find_vma(start) if start < end else None
    while vma is not None and vma.vm_start < end:
        if protects(vma):
            raise os_error(errno.EPERM)
        vma = mm.find_vma(vma.vm_end)
