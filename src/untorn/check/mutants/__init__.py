"""Mutants: the protocol with one step changed, to see that each step is needed and is checked."""

from untorn.check.mutants import (
    cures,
    faults,
    files,
    leftovers,
    lookup,
    strategies,
    vma_lock,
    waits,
    writers,
)
from untorn.check.mutants.mutant import Mutant

MUTANTS: dict[str, Mutant] = {
    mutant.name: mutant
    for group in (lookup, files, vma_lock, faults, strategies, writers, waits, leftovers, cures)
    for mutant in group.MUTANTS
}
"""By name."""
