"""OrderMutant: the production code as it is, with other orders of some of its accesses."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from untorn.check.memory.orders import Order
from untorn.check.memory.sites import changed
from untorn.check.memory.table import Site
from untorn.check.mutants.mutant import Mutant


@dataclass(frozen=True, slots=True)
class OrderMutant:
    """Orders that differ from Linux's; nothing differs where a load sees the last store.

    Attributes:
        name, about, scenarios, equivalent: As of a Mutant.
        changes: Accesses of the table, and the order that each gets.
    """

    name: str
    about: str
    changes: tuple[tuple[Site, Order], ...]
    scenarios: tuple[str, ...]
    equivalent: str = ""

    def applied(self) -> AbstractContextManager[None]:
        """Let the table have these orders."""
        return changed(dict(self.changes))


AnyMutant = Mutant | OrderMutant
