"""vm.overcommit_memory=2: how much is committed, and for which operations that is too uncertain.

The kernel decides by a counter that may be off by a batch of pages per CPU, and other processes
change it all the time. So for an operation that may come close to the limit, no result can be
predicted. Source: mm/mm_init.c:mm_compute_batch().
"""

import os

from untorn.conform.operation import Operation
from untorn.maps.page import PAGE_SHIFT, page_align
from untorn.mm.limits import OVERCOMMIT_NEVER
from untorn.mm.mm_types import MmStruct, vma_pages
from untorn.mm.mman import VM_ACCOUNT
from untorn.mm.vmas.accounting import commit_allowed

REASON = (
    "near CommitLimit the kernel does not count exactly, and other processes change the count "
    "(mm/util.c:__vm_enough_memory())"
)
_OTHERS = 2048
"""Pages that other processes may commit or release during an operation."""


def is_uncertain(mm: MmStruct, operation: Operation) -> bool:
    """Return whether an operation may commit memory near the limit."""
    if mm.limits.overcommit_memory != OVERCOMMIT_NEVER:
        return False
    room = commit_allowed(mm) - mm.vm_committed.pages.load()
    least, most = _charge(mm, operation)
    slack = _batch(mm) + _OTHERS
    return room - most < slack and room - least > -slack


def _charge(mm: MmStruct, operation: Operation) -> tuple[int, int]:
    """Return the least pages that it may charge at once, and the most that it may charge in all."""
    arguments = operation.arguments
    match operation.name:
        case "mmap":
            pages = page_align(arguments[1]) >> PAGE_SHIFT
            return pages - _accounted(mm), pages
        case "mremap":
            return 0, page_align(max(arguments[1:3])) >> PAGE_SHIFT
        case "mprotect":
            return 0, min(page_align(arguments[1]) >> PAGE_SHIFT, mm.total_vm)
        case "brk":
            pages = max(arguments[0] - mm.brk, 0) >> PAGE_SHIFT
            return pages, pages + 1
        case "fork":
            return 0, _accounted(mm)
    return 0, 0


def _accounted(mm: MmStruct) -> int:
    return sum(vma_pages(vma) for _, _, vma in mm.mm_mt if vma.vm_flags & VM_ACCOUNT)


def _batch(mm: MmStruct) -> int:
    """Return by how many pages the kernel's counter may be off."""
    cpus = os.sysconf("SC_NPROCESSORS_CONF")
    return max(mm.limits.totalram_pages // 256, cpus * max(cpus * 2, 32))
