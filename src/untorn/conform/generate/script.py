"""Draw the next operation at random, from what is mapped, with a preference for edges.

A script is a function of its seed only, as long as engine and kernel agree.
"""

from collections.abc import Callable, Iterator
from random import Random

from untorn.conform.generate.extents import Extents
from untorn.conform.generate.mmap_arguments import MmapArguments
from untorn.conform.generate.range_arguments import RangeArguments
from untorn.conform.operation import Operation
from untorn.conform.pair import Pair
from untorn.maps.page import PAGE_SIZE, UINT_MAX
from untorn.mm.limits import OVERCOMMIT_NEVER
from untorn.mm.mm_types import MmStruct, vma_pages
from untorn.mm.vmas.accounting import commit_allowed

LENGTHS = 40, 200
CROWDED_LENGTHS = 10, 30
"""The least and the most operations of a script."""
GENERATIONS = 3
"""The most living ancestors."""
_CAPSET_SHARE, _SEAL_SHARE, _VAST_SHARE, _CROWD_SHARE = 0.3, 0.15, 0.05, 0.002
_NEVER_SHARE = 0.5
"""Share of scripts."""
_WEIGHTS = {
    "mmap": 26,
    "munmap": 7,
    "mprotect": 15,
    "mremap": 12,
    "madvise": 10,
    "mlock": 1,
    "mlock2": 3,
    "munlock": 3,
    "mlockall": 0.7,
    "munlockall": 0.7,
    "brk": 4,
    "mseal": 0,
    "msync": 0.7,
    "mincore": 2,
    "shmat": 0.8,
    "shmdt": 0.8,
    "touch_write": 12,
    "touch_read": 4,
    "setrlimit": 2,
    "set_anon_name": 0.3,
    "mbind": 4,
    "set_mempolicy": 0.3,
    "set_mempolicy_home_node": 0.5,
    "fork": 0.8,
    "exit": 0.8,
    "orphan": 0.4,
}


class ScriptGenerator:
    """Draws the operations of one script; each step of the iteration yields one.

    Args:
        random: Decides everything.
        pair: Both processes, as they are when an operation is drawn.
    """

    def __init__(self, random: Random, pair: Pair) -> None:
        self._random = random
        self._pair = pair
        vast = self._vast_pages()
        self._extents = Extents(random, self._mm.task_size, vast)
        self._makers = (
            MmapArguments(random, self._extents),
            RangeArguments(random, self._extents),
            self,
        )
        self._tight: set[int] = set()
        self._weights = dict(_WEIGHTS)
        if random.random() < _SEAL_SHARE:
            self._weights["mseal"] = 1
        if vast:
            self._weights |= dict.fromkeys(("mlock", "mlock2", "mlockall"), 0)

    def _vast_pages(self) -> int:
        """Return how many pages a vast mapping has in this script; 0 for none."""
        mm = self._mm
        never = mm.limits.overcommit_memory == OVERCOMMIT_NEVER
        wanted = self._random.random() < (_NEVER_SHARE if never else _VAST_SHARE)
        if not wanted or mm.task_size <= UINT_MAX:
            return 0
        if not never:
            return mm.limits.totalram_pages
        # Two do not fit, and one plus one of half the length leaves something for other mappings.
        return (commit_allowed(mm) - mm.vm_committed.pages.load()) * 3 // 5

    def __iter__(self) -> Iterator[Operation]:
        if self._random.random() < _CAPSET_SHARE:
            yield Operation("capset")
        lengths = LENGTHS
        if self._random.random() < _CROWD_SHARE:
            lengths = CROWDED_LENGTHS
            yield Operation("crowd", (self._random.randint(0, 6),))
        for _ in range(self._random.randint(*lengths)):
            yield self._next()
        if lengths is not CROWDED_LENGTHS:
            yield Operation("smaps")

    @property
    def _mm(self) -> MmStruct:
        return self._pair.engine.mm

    def _next(self) -> Operation:
        self._extents.look(self._mm)
        if self._tight and self._random.random() < 0.15:
            which = self._tight.pop()
            return Operation("setrlimit", (which, self._pair.hard_limits[which]))
        names = list(self._weights)
        name: str = self._random.choices(names, list(self._weights.values()))[0]
        makers = (getattr(maker, name) for maker in self._makers if hasattr(maker, name))
        make: Callable[[], tuple[int, ...]] = next(makers, tuple)
        operation = Operation(name, make())
        too_many = name == "fork" and self._pair.engine.generation >= GENERATIONS
        return self._next() if too_many or not self._pair.can(operation) else operation

    def mlockall(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        return (self._random.choice((1, 1, 2, 3, 5, 6, 7, 4, 0, 8)),)

    def brk(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        pages = self._random.choice((-3, -1, -1, 0, 1, 1, 1, 2, 3, 8))
        bytes_more = self._random.choice((0, 0, 0, 1, 100, -1))
        if self._extents.vast and self._random.random() < _VAST_SHARE:
            bytes_more += self._extents.vast_length()
        return (max(self._mm.brk + pages * PAGE_SIZE + bytes_more, 0),)

    def setrlimit(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        mm = self._mm
        more = self._random.choice((-2, 0, 1, 2, 4, 10, 30))
        which = self._random.randrange(4)
        stack = max((vma_pages(vma) for vma in self._extents.vmas), default=1)
        in_use = (mm.total_vm, mm.data_vm, mm.locked_vm, stack)[which]
        soft = max(in_use + more, 0) * PAGE_SIZE + self._random.choice((0, 0, 0, 1, 4095))
        hard = self._pair.hard_limits[which]
        if hard != -1 and soft > hard:
            return which, hard
        self._tight.add(which)
        return which, soft
