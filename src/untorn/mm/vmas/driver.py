"""Mappings of devices, sockets and rings: what only their driver could say is refused by name.

The driver of such a mapping, which is not modelled, may have cleared VM_MAY* bits, set VM_IO,
VM_PFNMAP, VM_DONTEXPAND or VM_DONTCOPY, and has operations of its own: may_split, mprotect, mremap,
fault, pagesize. So calls that would need one of these raise NotModelledError. They look at all of
their range before they change anything: a driver that is asked in the middle would leave half a
call.

Every function but refuse_driver() needs mmap_lock held.
"""

from dataclasses import replace

from untorn.errors import NotModelledError
from untorn.mm.file import VmOperations
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import VM_SEALED

DRIVER_OPS = VmOperations(b"", has_close=True, has_driver=True)
"""Of what maps a device, a socket or a ring."""
DAX_OPS = replace(DRIVER_OPS, has_pagesize=True)
"""Of what maps device DAX, which may have pages of 4 kB, 2 MB or 1 GB."""


def has_driver(vma: Vma) -> bool:
    """Say whether a driver decides what may be done with vma. Preconditions: vma kept still."""
    return vma.vm_ops is not None and vma.vm_ops.has_driver


def driver_refusal(vma: Vma, call: str) -> NotModelledError:
    """Return what a call raises that would ask vma's driver. Preconditions: vma kept still."""
    assert vma.vm_file is not None, "a driver maps an open file of its own"
    path = vma.vm_file.path.decode(errors="backslashreplace")
    return NotModelledError(
        f"{call}: {vma.vm_start:x}-{vma.vm_end:x} maps {path}, and what its driver would say is not"
        " modelled. Nothing was changed; leave that mapping out, or unmap all of it first"
    )


def refuse_driver(vma: Vma, call: str) -> None:
    """Refuse a call on vma that its driver, if it has one, would be asked about.

    Preconditions: vma kept still, by its lock or mmap_lock.

    Raises:
        NotModelledError: It has one.
    """
    if has_driver(vma):
        raise driver_refusal(vma, call)


def refuse_drivers(mm: MmStruct, start: int, end: int, call: str, *, past_gaps: bool) -> None:
    """Refuse a call on [start, end), byte addresses, that would come to a driver's mapping.

    Args:
        mm: The address space.
        start: Byte address.
        end: Byte address, exclusive.
        call: Its name.
        past_gaps: Whether it goes on after a gap, or ends there.

    Raises:
        NotModelledError: It would.
    """
    # Nearly all address spaces have none, and need not be searched for them.
    if not mm.has_drivers:
        return
    while start < end:
        vma = mm.find_vma(start)
        if vma is None or vma.vm_start >= (end if past_gaps else start + 1):
            return
        refuse_driver(vma, call)
        start = vma.vm_end


def refuse_cut(mm: MmStruct, start: int, end: int, call: str) -> None:
    """Refuse a call on whole VMAs that would cut a driver's mapping at one of two byte addresses.

    A sealed one is not cut: Linux refuses that before, or has nothing to do.

    Raises:
        NotModelledError: It would.
    """
    if not mm.has_drivers:
        return
    for edge in (start, end):
        vma = mm.find_vma(edge)
        if vma is not None and vma.vm_start < edge and not vma.vm_flags & VM_SEALED:
            refuse_driver(vma, call)
