"""What some mappings do their own way. Compare include/linux/mm.h:vm_operations_struct."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VmOperations:
    """An immutable value that VMAs of one kind share.

    Attributes:
        name: What maps calls such a VMA, with brackets, if it has no file.
        may_split: Whether it may be cut: what the kernel maps for a process may not.
        has_close: Whether something is done when such a VMA goes. A merge must not make it go:
            it ends only where its mapping does.
    """

    name: bytes
    may_split: bool = True
    has_close: bool = False


def special_mapping(name: bytes) -> VmOperations:
    """Return the operations of [vdso] and its kin. Compare mm/mmap.c:special_mapping_vmops."""
    return VmOperations(name, may_split=False, has_close=True)
