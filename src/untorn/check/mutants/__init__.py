"""Mutants: the protocol with one step changed, to see that each step is needed and is checked."""

from untorn.check.mutants import lookup, strategies, vma_lock, writers
from untorn.check.mutants.mutant import Mutant

MUTANTS: dict[str, Mutant] = {
    mutant.name: mutant
    for group in (lookup.MUTANTS, vma_lock.MUTANTS, strategies.MUTANTS, writers.MUTANTS)
    for mutant in group
}
"""By name."""
