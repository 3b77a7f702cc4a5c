"""Map memory: check the arguments, make room, and publish the mapping with one store.

mmap over existing mappings first detaches their VMAs. Then one store puts the new VMA, or the
neighbour that grows, in their place in the tree, so that no reader ever sees a hole there. Before
Linux 6.12 they were unmapped first.
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
        addr: Byte address; a hint unless MAP_FIXED or MAP_FIXED_NOREPLACE is set.
        length: Bytes, rounded up to whole pages.
        prot: PROT_* bits; unknown ones are ignored.
        flags: MAP_* bits.
        file: The file, or None for anonymous memory.
        pgoff: Pages into the file.

    Raises:
        OSError: with the errno of mmap(2), in Linux's order of checks; EINTR if the task is
            killed while it waits for the lock.
        NotModelledError: The replaced range ends inside a driver's mapping; see driver.py.

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
    # Faults take mmap_lock for read, so they come after the section. mmap succeeds even if another
    # task has unmapped the range by then.
    if locked or flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE:
        mm_populate(mm, addr, addr + page_align(length))
    return addr


def mmap_locked(
    mm: MmStruct, addr: int, length: int, prot: int, flags: int, file: VmFile | None, pgoff: int
) -> int:
    """Do the work of do_mmap(). Preconditions: mmap_lock held for write; length not 0."""
    # The checks are in Linux's order, which decides the errno if several of them fail.
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
    # As in Linux the test is "more than", so there may be one VMA more than the limit.
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
    # The page offset of private anonymous memory is its address. So mappings that are made side by
    # side have contiguous offsets and can merge.
    if file is None:
        pgoff = 0 if vm_flags & VM_SHARED else addr >> PAGE_SHIFT
    return mmap_region(mm, addr, length, vm_flags, file, pgoff)


def mmap_region(
    mm: MmStruct, addr: int, length: int, vm_flags: int, file: VmFile | None, pgoff: int
) -> int:
    """Map [addr, addr + length), replacing whatever is there.

    Preconditions: mmap_lock held for write; all checks of the arguments done.

    Raises:
        OSError: ENOMEM if a limit would be exceeded, EPERM if a sealed VMA is in the way; nothing
            but splits has changed then. As _call_mmap(), after the old mappings are gone.
    """
    end = addr + length
    if file is not None and file.huge is not None:
        vm_flags |= VM_HUGETLB | VM_DONTEXPAND
    if not mm.release.has(MMAP_REPLACES):
        _unmap_first(mm, addr, length, vm_flags)
    # The old VMAs are detached but stay in the tree, so that readers that find one have to wait for
    # us and do not see a hole.
    going = gather_munmap_vmas(mm, addr, end)
    try:
        vm_flags = _charge(mm, vm_flags, length >> PAGE_SHIFT, going)
        new = Attributes(vm_flags, file, pgoff, addr >> PAGE_SHIFT)
        # One store publishes the neighbour that grows, here, or the new VMA, below, over all that
        # was there. Before it the old mappings cover the range, after it the new one does.
        joined = _joins(mm, addr, end, new)
    except BaseException:  # a limit, or a signal handler while waiting for a neighbour's readers
        abort_munmap_vmas(going)
        raise
    if not joined:
        _map_new(mm, going, new)
    # Subtract the old VMAs from the counters only now that the call can no longer fail. Free their
    # pages last, while the new VMA is write-locked and no fault can happen there.
    account_munmap_vmas(mm, going)
    if vm_flags & VM_LOCKED and _cannot_be_locked(mm, vm_flags):
        vm_flags = _unlock(mm, addr)
    vma_account(mm, vm_flags, length >> PAGE_SHIFT)
    free_munmap_vmas(mm, going)
    return addr


def _unmap_first(mm: MmStruct, addr: int, length: int, vm_flags: int) -> None:
    """Unmap the old mappings of the range, if the limits allow the new one.

    Raises:
        OSError: ENOMEM if a limit would be exceeded or the range cannot be unmapped; EPERM if it
            is sealed.
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
    """Replace the old VMAs by a new one, if no neighbour takes over their range.

    Preconditions: mmap_lock held for write.

    Raises:
        OSError: As _call_mmap(); the old VMAs are unmapped then.
    """
    # Clean up first: the new mapping may need the huge pages that the old ones give back.
    clean_up_munmap_vmas(going)
    try:
        file, resv_map = _call_mmap(mm, new, going.end - going.start)
    except BaseException:
        # The old VMAs cannot be restored, because their pages may be gone. Compare
        # mm/vma.c:vms_abort_munmap_vmas().
        clear_munmap_vmas(mm, going)
        free_munmap_vmas(mm, going)
        raise
    # Nothing waits or fails from here on, so the commitment or reservation need never be undone.
    store_new_vma(mm, going.start, going.end, replace(new, file=file), resv_map)


def _call_mmap(mm: MmStruct, new: Attributes, length: int) -> tuple[VmFile | None, set[int] | None]:
    """Return the file that is finally mapped (a new one for shared memory) and its resv_map.

    Raises:
        OSError: ENOMEM if the pages may not be committed; EOPNOTSUPP for VM_SYNC if the file
            system refuses it; for huge pages as hugetlbfs_file_mmap().

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
    """Return whether a mapping of /dev/zero or of no file is shared memory."""
    shared = VM_MAYSHARE if mm.release.has(ZERO_SHARED_READ_ONLY) else VM_SHARED
    return bool(vm_flags & shared)


def _joins(mm: MmStruct, addr: int, end: int, new: Attributes) -> bool:
    """Extend a neighbour by the new range if possible. Return whether a neighbour took it."""
    if new.file is not None and new.file.stacked:
        return False
    # Both neighbours stay: the detached VMAs are between addr and end.
    prev, following = mm.find_vma_prev(addr), mm.find_vma(end)
    if not mm.release.has(MMAP_REPLACES) and _needs_following(prev, following, end, new):
        prev = None
    return vma_merge_new_range(mm, prev, following, addr, end, new) is not None


def _needs_following(prev: Vma | None, following: Vma | None, end: int, new: Attributes) -> bool:
    """Return whether prev must not merge because the VMA after the range has another anon_vma.

    If the VMA after the range can merge, prev can only if it has the same anon_vma. Compare
    mm/mmap.c:__mmap_region() of Linux 6.1.
    """
    if prev is None or following is None or not new.precedes(following, prev.vm_end, end):
        return False
    return following.anon_vma not in (None, prev.anon_vma)


def _cannot_be_locked(mm: MmStruct, vm_flags: int) -> bool:
    if vm_flags & VM_DROPPABLE:
        return mm.release.has(DROPPABLE_UNLOCKED)
    return bool(vm_flags & VM_HUGETLB)


def _unlock(mm: MmStruct, addr: int) -> int:
    """Clear the lock flags of the new VMA at addr, which is droppable or on hugetlbfs.

    Return its flags. The merge was decided with the lock flags set. Compare
    mm/vma.c:__mmap_complete().
    """
    vma = mm.find_vma(addr)
    assert vma is not None, "it was just stored and is write-locked"
    vma.vm_flags &= ~VM_LOCKED_MASK
    return vma.vm_flags


def store_new_vma(
    mm: MmStruct, addr: int, end: int, new: Attributes, resv_map: set[int] | None = None
) -> None:
    """Create a VMA for [addr, end) and store it. Preconditions: mmap_lock held for write."""
    vma = vm_area_alloc(mm)
    vma.vm_start, vma.vm_end = addr, end
    vma.vm_pgoff, vma.vm_anon_pgoff = new.pgoff, new.anon_pgoff
    vma.vm_flags, vma.vm_file = new.flags, new.file
    vma.vm_ops = new.file.vm_ops if new.file is not None else None
    vma.resv_map = resv_map
    vma_open(vma)
    # All fields are written before vma_store_new() lets readers find the VMA. It has no readers, so
    # locking it never waits.
    vma_start_write(vma)
    vma_store_new(mm, vma)


def _charge(mm: MmStruct, vm_flags: int, pages: int, going: MunmapVmas) -> int:
    """Check the limits for a new mapping. Return its flags, with VM_ACCOUNT if it is charged."""
    # Pages that are replaced make room for the new ones. _unmap_first() has checked already.
    replaces = mm.release.has(MMAP_REPLACES)
    if replaces and not may_expand_vm(mm, vm_flags, pages - going.pages):
        raise os_error(errno.ENOMEM)
    # Private writable mappings are charged. Huge pages are not: their pool reserves them.
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
