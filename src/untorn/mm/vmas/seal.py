"""Seals of mseal(2), and the check of a whole range that Linux 6.10 and 6.11 do first."""

import errno
from collections.abc import Callable

from untorn.errors import os_error
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import VM_SEALED
from untorn.releases.changes import SEALS_ONE_BY_ONE


def is_sealed(vma: Vma) -> bool:
    """Return whether mseal(2) has sealed vma."""
    return bool(vma.vm_flags & VM_SEALED)


def refuse_sealed(
    mm: MmStruct, start: int, end: int, protects: Callable[[Vma], bool] = is_sealed
) -> None:
    """Refuse a range that contains a protected VMA, if the release checks that first.

    In other releases a call finds the seal when it reaches the VMA.

    Preconditions: mmap_lock held.

    Raises:
        OSError: EPERM if there is one. Compare mm/mseal.c:can_modify_mm() of Linux 6.10.
    """
    if mm.release.has(SEALS_ONE_BY_ONE):
        return
    vma = mm.find_vma(start) if start < end else None
    while vma is not None and vma.vm_start < end:
        if protects(vma):
            raise os_error(errno.EPERM)
        vma = mm.find_vma(vma.vm_end)
