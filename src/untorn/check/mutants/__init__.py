"""Mutants: the protocol with one step changed, to see that each step is needed and is checked.

From the top down: barriers, cures, files, guards, leftovers, lookup, other_lockings, page_faults,
pagemaps, stronger, vma_lock, waits, writers, order_mutant, mutant.
"""

from untorn.check.memory.modes import SC
from untorn.check.mutants import (
    barriers,
    cures,
    files,
    guards,
    leftovers,
    lookup,
    other_lockings,
    page_faults,
    pagemaps,
    stronger,
    vma_lock,
    waits,
    writers,
)
from untorn.check.mutants.mutant import Mutant
from untorn.check.mutants.order_mutant import AnyMutant, OrderMutant

_OF_STEPS: dict[str, Mutant] = {
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
_OF_ORDERS: dict[str, AnyMutant] = {
    **{mutant.name: mutant for mutant in barriers.MUTANTS},
    **{mutant.name: mutant for mutant in stronger.MUTANTS},
}
MUTANTS: dict[str, AnyMutant] = {**_OF_STEPS, **_OF_ORDERS}
"""By name."""


def names_of_all(memory: str) -> list[str]:
    """Return what `--mutant all` is: mutants of steps, or under weak memory those of orders."""
    return [name for name in MUTANTS if (name in _OF_ORDERS) == (memory != SC)]


def needs_weak_memory(name: str) -> bool:
    """Return whether a mutant differs from the original only under weak memory."""
    return isinstance(MUTANTS[name], OrderMutant)
