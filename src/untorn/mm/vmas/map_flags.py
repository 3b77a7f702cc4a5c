"""Compute the VM_* flags of a mapping from its PROT_* and MAP_* bits and its file.

Compare mm/mmap.c:do_mmap() and include/linux/mman.h:calc_vm_flag_bits().
"""

import errno

from untorn.errors import os_error
from untorn.mm.file import VmFile
from untorn.mm.limits import OVERCOMMIT_NEVER
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import (
    LEGACY_MAP_MASK,
    MAP_ABOVE4G,
    MAP_DROPPABLE,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_STACK,
    MAP_SYNC,
    MAP_TYPE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    VM_DONTDUMP,
    VM_DROPPABLE,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_LOCKED,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_NOHUGEPAGE,
    VM_NORESERVE,
    VM_READ,
    VM_SHARED,
    VM_SYNC,
    VM_WIPEONFORK,
    VM_WRITE,
)
from untorn.releases.changes import ABOVE4G, DROPPABLE, STACK_NOT_HUGE

_OF_FLAGS = (
    (MAP_GROWSDOWN, VM_GROWSDOWN),
    (MAP_LOCKED, VM_LOCKED),
    (MAP_STACK, VM_NOHUGEPAGE),
    (MAP_NORESERVE, VM_NORESERVE),
    (MAP_SYNC, VM_SYNC),
)


def prot_vm_flags(prot: int) -> int:
    """Return VM_READ, VM_WRITE and VM_EXEC for PROT_* bits, which have the same values."""
    return prot & (PROT_READ | PROT_WRITE | PROT_EXEC)


def map_vm_flags(mm: MmStruct, prot: int, flags: int) -> int:
    """Return the VM_* flags that do not depend on the kind of mapping."""
    vm_flags = prot_vm_flags(prot) | mm.def_flags | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC
    if not mm.release.has(STACK_NOT_HUGE):
        flags &= ~MAP_STACK
    if mm.limits.overcommit_memory == OVERCOMMIT_NEVER:
        flags &= ~MAP_NORESERVE
    for map_bit, vm_bit in _OF_FLAGS:
        if flags & map_bit:
            vm_flags |= vm_bit
    return vm_flags


def kind_vm_flags(mm: MmStruct, prot: int, flags: int, vm_flags: int, file: VmFile | None) -> int:
    """Return vm_flags with the flags for the kind of mapping: private, shared, droppable, or file.

    Raises:
        OSError: EINVAL, EACCES, EPERM, ENODEV, EOPNOTSUPP or ETXTBSY, as mmap(2) says.
    """
    if file is None:
        return _anonymous(mm, flags, vm_flags)
    _check_known(mm, flags, file)
    # The pool reserves huge pages, so MAP_NORESERVE applies to them even with OVERCOMMIT_NEVER.
    if file.huge is not None and flags & MAP_NORESERVE:
        vm_flags |= VM_NORESERVE
    return _of_file(prot, flags, vm_flags, file)


def _anonymous(mm: MmStruct, flags: int, vm_flags: int) -> int:
    map_type = flags & MAP_TYPE
    if map_type == MAP_PRIVATE:
        return vm_flags
    if map_type == MAP_SHARED and not vm_flags & VM_GROWSDOWN:
        return vm_flags | VM_SHARED | VM_MAYSHARE
    droppable = map_type == MAP_DROPPABLE and mm.release.has(DROPPABLE)
    if droppable and not flags & (MAP_LOCKED | MAP_GROWSDOWN):
        return vm_flags | VM_DROPPABLE | VM_NORESERVE | VM_WIPEONFORK | VM_DONTDUMP
    raise os_error(errno.EINVAL)


def _check_known(mm: MmStruct, flags: int, file: VmFile) -> None:
    # MAP_SHARED ignores unknown flags; MAP_SHARED_VALIDATE refuses them.
    accepted = LEGACY_MAP_MASK | (MAP_SYNC if file.refuses_sync else 0)
    if not mm.release.has(ABOVE4G):
        accepted &= ~MAP_ABOVE4G
    if flags & MAP_TYPE == MAP_SHARED_VALIDATE and flags & ~accepted:
        raise os_error(errno.EOPNOTSUPP)


def _of_file(prot: int, flags: int, vm_flags: int, file: VmFile) -> int:
    map_type = flags & MAP_TYPE
    if map_type in (MAP_SHARED, MAP_SHARED_VALIDATE):
        vm_flags = _shared(prot, vm_flags, file)
    elif map_type != MAP_PRIVATE:
        raise os_error(errno.EINVAL)
    return _readable(vm_flags, file)


def _shared(prot: int, vm_flags: int, file: VmFile) -> int:
    if prot & PROT_WRITE and not file.writable:
        raise os_error(errno.EACCES)
    if prot & PROT_WRITE and file.swapfile:
        raise os_error(errno.ETXTBSY)
    if file.append_only and file.writable:
        raise os_error(errno.EACCES)
    # A shared mapping that can never be written is treated as a private one, but has VM_MAYSHARE,
    # which maps shows as "s".
    if not file.writable:
        return vm_flags & ~VM_MAYWRITE | VM_MAYSHARE
    return vm_flags | VM_SHARED | VM_MAYSHARE


def _readable(vm_flags: int, file: VmFile) -> int:
    if not file.readable:
        raise os_error(errno.EACCES)
    if file.noexec:
        if vm_flags & VM_EXEC:
            raise os_error(errno.EPERM)
        vm_flags &= ~VM_MAYEXEC  # mprotect must not get around the mount option either
    if not file.can_mmap:
        raise os_error(errno.ENODEV)
    if vm_flags & VM_GROWSDOWN:
        raise os_error(errno.EINVAL)
    return _unsealed(vm_flags) if file.write_sealed else vm_flags


def _unsealed(vm_flags: int) -> int:
    """Return the VM_* flags that a write-sealed file allows. Compare mm/memfd.c."""
    if not vm_flags & VM_SHARED:
        return vm_flags
    if vm_flags & VM_WRITE:
        raise os_error(errno.EPERM)
    return vm_flags & ~VM_MAYWRITE


assert (VM_READ, VM_WRITE, VM_EXEC) == (PROT_READ, PROT_WRITE, PROT_EXEC)
