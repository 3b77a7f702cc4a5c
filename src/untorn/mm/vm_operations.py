"""What some mappings do their own way. Compare include/linux/mm.h:vm_operations_struct."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class VmOperations:
    """An immutable value that VMAs of one kind share.

    Attributes:
        name: What maps calls such a VMA, with brackets, if it has no file.
        may_split: Whether it may be cut: what the kernel maps for a process may not.
        has_close: Whether something is done when such a VMA goes. A merge must not make it go:
            it ends only where its mapping does.
        has_driver: Whether a driver, which is not modelled, has a say in what may be done with
            such a VMA; see driver.py.
        has_pagesize: Whether it also decides by pages of what size it is mapped.
    """

    name: bytes
    may_split: bool = True
    has_close: bool = False
    has_driver: bool = False
    has_pagesize: bool = False


DRIVER_OPS = VmOperations(b"", has_close=True, has_driver=True)
"""Of what maps a device, a socket or a ring."""
DAX_OPS = replace(DRIVER_OPS, has_pagesize=True)
"""Of what maps device DAX, which may have pages of 4 kB, 2 MB or 1 GB."""


def special_mapping(name: bytes) -> VmOperations:
    """Return the operations of [vdso] and its kin. Compare mm/mmap.c:special_mapping_vmops."""
    return VmOperations(name, may_split=False, has_close=True)
