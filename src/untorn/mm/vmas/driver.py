"""Mappings of devices, sockets and rings: refuse a call whose result depends on their driver.

Drivers are not modelled. A driver may have cleared VM_MAY* bits or set VM_IO, VM_PFNMAP,
VM_DONTEXPAND or VM_DONTCOPY, and may have its own operations: may_split, mprotect, mremap, fault,
pagesize. A call that would need one of these raises NotModelledError. It checks its whole range
before it changes anything, because a refusal in the middle would leave the call half done.

Every function but refuse_driver() needs mmap_lock held.
"""

from dataclasses import replace

from untorn.errors import NotModelledError
from untorn.mm.file import VmOperations
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import VM_SEALED

DRIVER_OPS = VmOperations(b"", has_close=True, has_driver=True)
"""The operations of a mapping of a device, a socket or a ring."""
DAX_OPS = replace(DRIVER_OPS, has_pagesize=True)
"""The operations of a mapping of device DAX, which may have pages of 4 kB, 2 MB or 1 GB."""


def has_driver(vma: Vma) -> bool:
    """Return whether a driver decides what may be done with vma. Preconditions: vma stable."""
    return vma.vm_ops is not None and vma.vm_ops.has_driver


def driver_refusal(vma: Vma, call: str) -> NotModelledError:
    """Return the error of a call that depends on vma's driver. Preconditions: vma stable."""
    assert vma.vm_file is not None, "a driver maps an open file of its own"
    path = vma.vm_file.path.decode(errors="backslashreplace")
    return NotModelledError(
        f"{call}: {vma.vm_start:x}-{vma.vm_end:x} maps {path}, whose driver is not modelled."
        " Nothing was changed; leave that mapping out, or unmap all of it first"
    )


def refuse_driver(vma: Vma, call: str) -> None:
    """Refuse a call on vma that depends on a driver, if vma has one.

    Preconditions: vma stable.

    Raises:
        NotModelledError: It has a driver.
    """
    if has_driver(vma):
        raise driver_refusal(vma, call)


def refuse_drivers(mm: MmStruct, start: int, end: int, call: str, *, past_holes: bool) -> None:
    """Refuse a call on [start, end), byte addresses, that would reach a driver's mapping.

    Args:
        mm: The address space.
        start: Byte address.
        end: Byte address, exclusive.
        call: The name of the call.
        past_holes: Whether the call goes on after a hole, or ends there.

    Raises:
        NotModelledError: It would reach one.
    """
    # Nearly all address spaces have none, and need no search.
    if not mm.has_drivers:
        return
    while start < end:
        vma = mm.find_vma(start)
        if vma is None or vma.vm_start >= (end if past_holes else start + 1):
            return
        refuse_driver(vma, call)
        start = vma.vm_end


def refuse_cut(mm: MmStruct, start: int, end: int, call: str) -> None:
    """Refuse a call that would split a driver's mapping at byte address start or end.

    A sealed mapping is never split: Linux refuses the call earlier, or has nothing to do.

    Raises:
        NotModelledError: It would split one.
    """
    if not mm.has_drivers:
        return
    for edge in (start, end):
        vma = mm.find_vma(edge)
        if vma is not None and vma.vm_start < edge and not vma.vm_flags & VM_SEALED:
            refuse_driver(vma, call)
