"""Mutants: the protocol with one step changed, to see that each step is needed and is checked.

From the top down: cures, files, guards, leftovers, lookup, other_lockings, page_faults, pagemaps,
vma_lock, waits, writers, mutant.
"""

from untorn.check.mutants import (
    cures,
    files,
    guards,
    leftovers,
    lookup,
    other_lockings,
    page_faults,
    pagemaps,
    vma_lock,
    waits,
    writers,
)
from untorn.check.mutants.mutant import Mutant

MUTANTS: dict[str, Mutant] = {
    mutant.name: mutant
    for group in (
        lookup,
        files,
        vma_lock,
        page_faults,
        guards,
        pagemaps,
        other_lockings,
        writers,
        waits,
        leftovers,
        cures,
    )
    for mutant in group.MUTANTS
}
"""By name."""
