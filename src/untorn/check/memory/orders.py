"""Order: what an access promises about those around it, in terms of Linux's memory model.

Compare Documentation/memory-barriers.txt and tools/memory-model/.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Fence(Enum):
    """A barrier that stands by itself."""

    RMB = "smp_rmb"
    WMB = "smp_wmb"
    MB = "smp_mb"


@dataclass(frozen=True, slots=True)
class Order:
    """The order of one access.

    Attributes:
        acquire: What it loads comes before all that follows.
        release: All that came before comes before what it stores.
        before, after: Barriers around it.
        dereferences: Memory reached through the loaded pointer is at least as new as the store of
            the pointer: an address dependency.
        through: The place was found through such a pointer.
        spins: For a spinlock: all before its release comes before the stores of the task that takes
            it, as seen by all.
    """

    acquire: bool = False
    release: bool = False
    before: Fence | None = None
    after: Fence | None = None
    dereferences: bool = False
    through: bool = False
    spins: bool = False

    def found(self) -> Order:
        """Return the same for a place that was found through a pointer."""
        return replace(self, through=True)

    def fenced(self, *, before: Fence | None = None, after: Fence | None = None) -> Order:
        """Return the same with barriers around it."""
        return replace(self, before=before, after=after)


ONCE = Order()
"""READ_ONCE(), WRITE_ONCE(), an atomic operation _relaxed, and a plain access."""
ACQUIRE = Order(acquire=True)
RELEASE = Order(release=True)
ACQ_REL = Order(acquire=True, release=True)
FULL = ACQ_REL.fenced(before=Fence.MB, after=Fence.MB)
"""An atomic operation that returns a value and says nothing else."""
SPINLOCK = Order(acquire=True, release=True, spins=True)
DEREFERENCE = Order(dereferences=True)
"""rcu_dereference()."""
