"""Mutants of guards that are set under the lock of their VMA."""

from untorn.check.mutants.mutant import Mutant
from untorn.mm.calls import madvise
from untorn.mm.vmas.vm_area import vma_set_atomic_flag

MUTANTS = [
    Mutant(
        "guard-flag-not-atomic",
        "VM_MAYBE_GUARD is set by an unprotected load and store",
        vma_set_atomic_flag,
        (("    with vma.vm_mm.page_table_lock:\n", "    if True:\n"),),
        ("guards/guard",),
    ),
    Mutant(
        "guard-asks-neighbours",
        "a first anon_vma is looked for in neighbours that are not stable",
        madvise._is_vma_lock_sufficient,
        (("    return not prepares or vma.anon_vma is not None\n", "    return True\n"),),
        ("guards/first",),
    ),
]
