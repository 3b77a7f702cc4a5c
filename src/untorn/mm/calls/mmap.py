"""Map: check what is asked for, make room, and publish the mapping with one store.

A mapping over existing ones first detaches those, then lets the new VMA, or the neighbour that
grows, take their slots in one store of the tree: no reader ever sees their gap. Before Linux 6.12
they were unmapped first.
Compare mm/mmap.c:do_mmap() and mm/vma.c:__mmap_region().
"""

import errno
from dataclasses import replace

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE, ULONG_MAX, page_align
from untorn.mm.calls.munmap import (
    MunmapVmas,
    abort_munmap_vmas,
    account_munmap_vmas,
    clean_up_munmap_vmas,
    clear_munmap_vmas,
    do_munmap_locked,
    free_munmap_vmas,
    gather_munmap_vmas,
)
from untorn.mm.committed import CommittedFile
from untorn.mm.file import VmFile, shmem_zero_file
from untorn.mm.limits import OVERCOMMIT_NEVER
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import (
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_LOCKED,
    MAP_NONBLOCK,
    MAP_POPULATE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    VM_ACCOUNT,
    VM_DONTEXPAND,
    VM_DROPPABLE,
    VM_HUGETLB,
    VM_LOCKED,
    VM_LOCKED_MASK,
    VM_MAYSHARE,
    VM_NORESERVE,
    VM_SHARED,
    VM_SYNC,
    VM_WRITE,
)
from untorn.mm.mmap_lock import mmap_write_lock_killable, mmap_write_unlock
from untorn.mm.pages.gup import mm_populate
from untorn.mm.vma_lock import vma_start_write
from untorn.mm.vmas.accounting import (
    can_do_mlock,
    may_commit,
    may_expand_vm,
    mlock_future_ok,
    pages_mapped,
    vma_account,
)
from untorn.mm.vmas.hugetlb_reserve import hugetlbfs_file_mmap
from untorn.mm.vmas.map_flags import kind_vm_flags, map_vm_flags
from untorn.mm.vmas.merge import Attributes, vma_merge_new_range
from untorn.mm.vmas.unmapped_area import get_unmapped_area
from untorn.mm.vmas.vm_area import vm_area_alloc, vma_open, vma_store_new
from untorn.releases.changes import DROPPABLE_UNLOCKED, MMAP_REPLACES, ZERO_SHARED_READ_ONLY


def do_mmap(
    mm: MmStruct, addr: int, length: int, prot: int, flags: int, file: VmFile | None, pgoff: int
) -> int:
    """Map length bytes and return the byte address.

    Args:
        mm: The address space; its mmap_lock is taken for write.
        addr: A hint, unless MAP_FIXED or MAP_FIXED_NOREPLACE is set.
        length: Bytes, rounded up to whole pages.
        prot: PROT_* bits; unknown ones are ignored.
        flags: MAP_* bits.
        file: The file, or None for anonymous memory.
        pgoff: Pages into the file.

    Raises:
        OSError: with the errno of mmap(2), in Linux's order of checks; EINTR if the task is
            killed while it waits for the lock.
        NotModelledError: What is to be replaced ends inside a driver's mapping; see driver.py.

    Source: mmap(2); mm/mmap.c:do_mmap().
    """
    if length == 0:
        raise os_error(errno.EINVAL)
    mmap_write_lock_killable(mm)
    try:
        addr = mmap_locked(mm, addr, length, prot, flags, file, pgoff)
        locked = (flags & MAP_LOCKED) | (mm.def_flags & VM_LOCKED)
    finally:
        mmap_write_unlock(mm)
    # Faults take mmap_lock for read, so they come after the section. Another task may have unmapped
    # the range by then: mmap has succeeded nevertheless.
    if locked or flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE:
        mm_populate(mm, addr, addr + page_align(length))
    return addr


def mmap_locked(
    mm: MmStruct, addr: int, length: int, prot: int, flags: int, file: VmFile | None, pgoff: int
) -> int:
    """Do what do_mmap() says. Preconditions: mmap_lock held for write; length not 0."""
    # The order of what follows is Linux's: it decides the errno where several would be right.
    if mm.read_implies_exec and prot & PROT_READ and not (file is not None and file.noexec):
        prot |= PROT_EXEC
    if flags & MAP_FIXED_NOREPLACE:
        flags |= MAP_FIXED
    if not flags & MAP_FIXED:
        addr = _round_hint_to_min(mm, addr)
    length = page_align(length)
    if length == 0:
        raise os_error(errno.ENOMEM)
    pages = length >> PAGE_SHIFT
    if pgoff + pages > ULONG_MAX:
        raise os_error(errno.EOVERFLOW)
    # More than, not at least: as in Linux, there may be one VMA more than the limit says.
    if mm.map_count > mm.limits.max_map_count:
        raise os_error(errno.ENOMEM)
    addr = get_unmapped_area(mm, file, addr, length, pgoff, flags)
    if flags & MAP_FIXED_NOREPLACE and _overlaps(mm, addr, addr + length):
        raise os_error(errno.EEXIST)
    vm_flags = map_vm_flags(mm, prot, flags)
    _check_mlock(mm, flags, vm_flags, pages)
    if file is not None and (pgoff + pages) << PAGE_SHIFT > file.mmap_size_max:
        raise os_error(errno.EOVERFLOW)
    vm_flags = kind_vm_flags(mm, prot, flags, vm_flags, file)
    if prot & PROT_WRITE and prot & PROT_EXEC and mm.limits.deny_write_exec:
        raise os_error(errno.EACCES)
    # Pages of private anonymous memory are numbered by where they are mapped first: so neighbours
    # that are mapped one by one fit together, and can merge.
    if file is None:
        pgoff = 0 if vm_flags & VM_SHARED else addr >> PAGE_SHIFT
    return mmap_region(mm, addr, length, vm_flags, file, pgoff)


def mmap_region(
    mm: MmStruct, addr: int, length: int, vm_flags: int, file: VmFile | None, pgoff: int
) -> int:
    """Map [addr, addr + length) in the place of whatever is there.

    Preconditions: mmap_lock held for write; all checks of the arguments done.

    Raises:
        OSError: ENOMEM over a limit, EPERM if a sealed VMA is in the way; nothing but splits
            has changed then. As _call_mmap(), when what was there is gone.
    """
    end = addr + length
    if file is not None and file.huge is not None:
        vm_flags |= VM_HUGETLB | VM_DONTEXPAND
    if not mm.release.has(MMAP_REPLACES):
        _unmap_first(mm, addr, length, vm_flags)
    # What is there is detached but stays in the tree, so that readers that meet it have to wait for
    # us rather than find a gap.
    going = gather_munmap_vmas(mm, addr, end)
    try:
        vm_flags = _charge(mm, vm_flags, length >> PAGE_SHIFT, going)
        new = Attributes(vm_flags, file, pgoff, addr >> PAGE_SHIFT)
        # The publication: one store puts the neighbour that grows, or the new VMA, over all that
        # was there. Before it the old mapping covers the range, after it the new one does.
        joined = _joins(mm, addr, end, new)
    except BaseException:  # a limit, or a signal handler's in the wait for a neighbour's readers
        abort_munmap_vmas(going)
        raise
    if not joined:
        _map_new(mm, going, new)
    # Counted out only now: as long as the call could fail, the old VMAs counted. Their pages go
    # last, under the write lock of what took their place, where no fault can come in.
    account_munmap_vmas(mm, going)
    if vm_flags & VM_LOCKED and _cannot_be_locked(mm, vm_flags):
        vm_flags = _unlock(mm, addr)
    vma_account(mm, vm_flags, length >> PAGE_SHIFT)
    free_munmap_vmas(mm, going)
    return addr


def _unmap_first(mm: MmStruct, addr: int, length: int, vm_flags: int) -> None:
    """Unmap what is to be replaced, if the limits allow what replaces it.

    Raises:
        OSError: ENOMEM over a limit, or if it cannot be unmapped; EPERM if it is sealed.
    """
    mapped = pages_mapped(mm, addr, addr + length)
    if not may_expand_vm(mm, vm_flags, (length >> PAGE_SHIFT) - mapped):
        raise os_error(errno.ENOMEM)
    try:
        do_munmap_locked(mm, addr, length)
    except OSError as error:
        sealed = error.errno == errno.EPERM
        raise os_error(errno.EPERM if sealed else errno.ENOMEM) from None


def _map_new(mm: MmStruct, going: MunmapVmas, new: Attributes) -> None:
    """Put a new VMA in the place of those that go, which no neighbour takes over.

    Preconditions: mmap_lock held for write.

    Raises:
        OSError: As _call_mmap(); the old VMAs are unmapped then.
    """
    # First, as the new mapping may need the huge pages that the old ones give back.
    clean_up_munmap_vmas(going)
    try:
        file, resv_map = _call_mmap(mm, new, going.end - going.start)
    except BaseException:
        # The old ones cannot be put back to use, as their pages may be gone. Compare
        # mm/vma.c:vms_abort_munmap_vmas().
        clear_munmap_vmas(mm, going)
        free_munmap_vmas(mm, going)
        raise
    # What was promised or reserved is never to be taken back: nothing waits or fails from here on.
    store_new_vma(mm, going.start, going.end, replace(new, file=file), resv_map)


def _call_mmap(mm: MmStruct, new: Attributes, length: int) -> tuple[VmFile | None, set[int] | None]:
    """Return the file that is mapped in the end: shared memory has a new one; and a resv_map.

    Raises:
        OSError: ENOMEM if that is more than may be promised; EOPNOTSUPP for VM_SYNC where the
            file's system refuses it; of huge pages as hugetlbfs_file_mmap().

    Preconditions: mmap_lock held for write.
    """
    file, vm_flags = new.file, new.flags
    if file is not None and file.huge is not None:
        return file, hugetlbfs_file_mmap(file, file.huge, new.pgoff, length, vm_flags)
    if file is not None and file.refuses_sync and vm_flags & VM_SYNC:
        raise os_error(errno.EOPNOTSUPP)
    if not (file is None or file.is_zero) or not _shares_pages(mm, vm_flags):
        return file, None
    if not vm_flags & VM_NORESERVE and not may_commit(mm, length >> PAGE_SHIFT):
        raise os_error(errno.ENOMEM)
    zero = shmem_zero_file(length)
    if mm.limits.overcommit_memory == OVERCOMMIT_NEVER:
        zero.mapping.committed = CommittedFile(mm.vm_committed, length >> PAGE_SHIFT)
    return zero, None


def _shares_pages(mm: MmStruct, vm_flags: int) -> bool:
    """Say whether a mapping of /dev/zero, or of no file, is shared memory."""
    shared = VM_MAYSHARE if mm.release.has(ZERO_SHARED_READ_ONLY) else VM_SHARED
    return bool(vm_flags & shared)


def _joins(mm: MmStruct, addr: int, end: int, new: Attributes) -> bool:
    """Extend a neighbour by what is to be mapped, if one can be; say whether one was."""
    if new.file is not None and new.file.stacked:
        return False
    # Neither is on its way out: what is detached lies between addr and end.
    prev, following = mm.find_vma_prev(addr), mm.find_vma(end)
    if not mm.release.has(MMAP_REPLACES) and _needs_following(prev, following, end, new):
        prev = None
    return vma_merge_new_range(mm, prev, following, addr, end, new) is not None


def _needs_following(prev: Vma | None, following: Vma | None, end: int, new: Attributes) -> bool:
    """Say whether prev is passed over for the VMA after the new range: it must have its anon_vma.

    Compare mm/mmap.c:__mmap_region() of Linux 6.1.
    """
    if prev is None or following is None or not new.precedes(following, prev.vm_end, end):
        return False
    return following.anon_vma not in (None, prev.anon_vma)


def _cannot_be_locked(mm: MmStruct, vm_flags: int) -> bool:
    if vm_flags & VM_DROPPABLE:
        return mm.release.has(DROPPABLE_UNLOCKED)
    return bool(vm_flags & VM_HUGETLB)


def _unlock(mm: MmStruct, addr: int) -> int:
    """Take the lock flags from the new VMA at addr, which is droppable or of huge pages.

    Return its flags. They kept it from merging nevertheless. Compare mm/vma.c:__mmap_complete().
    """
    vma = mm.find_vma(addr)
    assert vma is not None, "it was stored a moment ago, and is write-locked"
    vma.vm_flags &= ~VM_LOCKED_MASK
    return vma.vm_flags


def store_new_vma(
    mm: MmStruct, addr: int, end: int, new: Attributes, resv_map: set[int] | None = None
) -> None:
    """Make [addr, end) a VMA of its own. Preconditions: mmap_lock held for write."""
    vma = vm_area_alloc(mm)
    vma.vm_start, vma.vm_end = addr, end
    vma.vm_pgoff, vma.vm_anon_pgoff = new.pgoff, new.anon_pgoff
    vma.vm_flags, vma.vm_file = new.flags, new.file
    vma.vm_ops = new.file.vm_ops if new.file is not None else None
    vma.resv_map = resv_map
    vma_open(vma)
    # All fields are written before vma_store_new() lets readers find them. It has no readers, so
    # locking it waits for nothing.
    vma_start_write(vma)
    vma_store_new(mm, vma)


def _charge(mm: MmStruct, vm_flags: int, pages: int, going: MunmapVmas) -> int:
    """Check the limits for a new mapping; return its flags, with VM_ACCOUNT if it is charged."""
    # What is replaced makes room for what replaces it. _unmap_first() has asked already.
    replaces = mm.release.has(MMAP_REPLACES)
    if replaces and not may_expand_vm(mm, vm_flags, pages - going.pages):
        raise os_error(errno.ENOMEM)
    # Memory is promised for what is private and can be written; huge pages their pool promises.
    if vm_flags & (VM_NORESERVE | VM_SHARED | VM_HUGETLB | VM_WRITE) != VM_WRITE:
        return vm_flags
    charge = pages - going.accounted
    if charge and not may_commit(mm, charge):
        raise os_error(errno.ENOMEM)
    return vm_flags | VM_ACCOUNT


def _round_hint_to_min(mm: MmStruct, hint: int) -> int:
    hint &= -PAGE_SIZE
    return page_align(mm.limits.mmap_min_addr) if 0 < hint < mm.limits.mmap_min_addr else hint


def _overlaps(mm: MmStruct, start: int, end: int) -> bool:
    vma = mm.find_vma(start)
    return vma is not None and vma.vm_start < end


def _check_mlock(mm: MmStruct, flags: int, vm_flags: int, pages: int) -> None:
    if flags & MAP_LOCKED and not can_do_mlock(mm):
        raise os_error(errno.EPERM)
    if not mlock_future_ok(mm, vm_flags, pages):
        raise os_error(errno.EAGAIN)
