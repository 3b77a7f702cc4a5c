"""The memory models that the checker offers to the code that it runs.

sc            a load sees the last store
linux         what Linux's orders promise, on machines where a store that one other CPU sees is seen
              by all: today all machines that run Linux
linux-strict  what Linux's memory model promises by the letter
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from untorn.check.memory.choosing_dpor import ChoosingDpor
from untorn.check.memory.places import WEAK, Unguarded, WeakPoint
from untorn.check.memory.weak_trace import StrictTrace, WeakTrace
from untorn.check.runtime import fields, running
from untorn.check.runtime.trace import Trace
from untorn.check.runtime.watching import put_in_place, watching
from untorn.check.strategies.branch import ALL, Branch
from untorn.check.strategies.source_dpor import SourceDpor
from untorn.locking.rwsem import RwSemaphore

SC = "sc"
TRACES: dict[str, type[Trace]] = {SC: Trace, "linux": WeakTrace, "linux-strict": StrictTrace}
MEMORIES = tuple(TRACES)
_OWN_WORDS = [field for field in fields.WATCHED if field[0] is RwSemaphore]


@contextmanager
def watching_in(memory: str, *, speculated: bool = False) -> Iterator[None]:
    """Let the engine's code run on the checker with this memory; see watching()."""
    if memory == SC:
        with watching(speculated=speculated):
            yield
        return
    points = {field: WeakPoint(*field) for field in fields.points_of(speculated=speculated)}
    own = {field: Unguarded(*field) for field in _OWN_WORDS}
    running.new_trace = TRACES[memory]
    try:
        with put_in_place(WEAK, {**points, **own}):
            yield
    finally:
        running.new_trace = Trace


def search(memory: str, branch: Branch = ALL, budget: float = math.inf) -> SourceDpor:
    """Return the search that is complete with this memory; see SourceDpor."""
    return (SourceDpor if memory == SC else ChoosingDpor)(branch, budget)
