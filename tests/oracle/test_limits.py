"""Each resource limit is met at the same operation, with the same errno, in engine and kernel.

Room for some pages is left, and the same thing is done again and again until it fails: when, is
for the kernel to say. For max_map_count see test_map_count.py.
"""

import errno
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.helpers.this_machine import or_skip
from tests.oracle.kernel_process import why_not
from tests.oracle.worlds import ANONYMOUS, RW
from untorn.conform.operation import LIMITS, Operation
from untorn.conform.pair import Pair
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_SHARED,
    MCL_CURRENT,
    MCL_FUTURE,
    MREMAP_DONTUNMAP,
    MREMAP_MAYMOVE,
    PROT_NONE,
    PROT_READ,
)

pytestmark = pytest.mark.live

P = PAGE_SIZE
ARENA = 0x2000_0000_0000
ROOM = 20
"""Pages of room that a limit leaves."""
SHARED = MAP_SHARED | MAP_ANONYMOUS
Steps = Callable[[int], tuple[Any, ...]]
"""Of the number of a step, its call and arguments."""


@pytest.fixture(scope="module")
def started() -> Iterator[Pair]:
    if reason := why_not():
        pytest.skip(reason)
    with or_skip(Pair.live) as pair:
        yield pair


@pytest.fixture
def pair(started: Pair) -> Pair:
    started.renew()
    return started


def do(pair: Pair, name: str, *arguments: int) -> int:
    """Do it in both worlds; return what both say, an errno negated. All maps are the same."""
    mismatch = pair.step(Operation(name, arguments))
    assert mismatch is None, f"{name}{arguments}: {mismatch}"
    return pair.last.result


def limit(pair: Pair, name: str, pages: int) -> None:
    """Set a limit to so many pages."""
    assert do(pair, "setrlimit", LIMITS.index(name), pages * P) == 0


def until_it_fails(pair: Pair, again: Steps) -> tuple[int, int]:
    """Return how often it was done, and the errno in the end."""
    for number in range(200):
        result = do(pair, *again(number))
        if result < 0:
            return number, -result
    raise AssertionError("it never fails")


def mm_of(pair: Pair) -> MmStruct:
    return pair.engine.mm


def at(page: int) -> int:
    return ARENA + page * P


def maps(pages: int, prot: int = RW, flags: int = ANONYMOUS) -> Steps:
    """Map so many pages at a time, all apart."""
    return lambda n: ("mmap", at(n * 2 * pages), pages * P, prot, flags | MAP_FIXED, -1, 0)


MAPPED = {
    "AS, of any kind": ("AS", maps(3, PROT_NONE), 6, errno.ENOMEM),
    "AS, shared": ("AS", maps(4, RW, SHARED), 5, errno.ENOMEM),
    "AS, no reserve": ("AS", maps(7, RW, ANONYMOUS | MAP_NORESERVE), 2, errno.ENOMEM),
    "DATA": ("DATA", maps(3), 6, errno.ENOMEM),
    "DATA, no reserve": ("DATA", maps(3, RW, ANONYMOUS | MAP_NORESERVE), 6, errno.ENOMEM),
    "MEMLOCK": ("MEMLOCK", maps(3, RW, ANONYMOUS | MAP_LOCKED), 6, errno.EAGAIN),
    "MEMLOCK, exactly": ("MEMLOCK", maps(5, PROT_READ, SHARED | MAP_LOCKED), 4, errno.EAGAIN),
}


@pytest.mark.parametrize(("name", "again", "times", "number"), MAPPED.values(), ids=MAPPED.keys())
def test_mmap_meets(pair: Pair, name: str, again: Steps, times: int, number: int) -> None:
    used = {"AS": mm_of(pair).total_vm, "DATA": mm_of(pair).data_vm, "MEMLOCK": 0}[name]
    do(pair, "capset")
    limit(pair, name, used + ROOM)
    assert until_it_fails(pair, again) == (times, number)


@pytest.mark.parametrize(
    "again", [maps(30, PROT_READ), maps(30, RW, SHARED)], ids=["read", "shared"]
)
def test_data_counts_what_is_private_and_writable_only(pair: Pair, again: Steps) -> None:
    limit(pair, "DATA", mm_of(pair).data_vm + ROOM)
    for number in range(5):
        assert do(pair, *again(number)) > 0
    assert do(pair, "mprotect", at(0), 30 * P, RW) in (0, -errno.ENOMEM)


@pytest.mark.parametrize(("name", "times"), [("AS", ROOM), ("DATA", ROOM - 1)])
def test_the_heap_meets(pair: Pair, name: str, times: int) -> None:
    # DATA counts the program's own data too, which is less than a page.
    start = mm_of(pair).brk
    used = {"AS": mm_of(pair).total_vm, "DATA": mm_of(pair).data_vm}[name]
    limit(pair, name, used + ROOM)
    done = 0
    while do(pair, "brk", start + (done + 1) * P) == start + (done + 1) * P:
        done += 1
        assert done < 200
    assert done == times


def test_mprotect_meets_data_page_by_page(pair: Pair) -> None:
    assert do(pair, *maps(100, PROT_READ)(0)) == at(0)
    limit(pair, "DATA", mm_of(pair).data_vm + ROOM)
    assert until_it_fails(pair, lambda n: ("mprotect", at(3 * n), P, RW)) == (ROOM, errno.ENOMEM)


@pytest.mark.parametrize("name", ["AS", "DATA"])
def test_mremap_meets(pair: Pair, name: str) -> None:
    assert do(pair, *maps(2)(0)) == at(0)
    used = {"AS": mm_of(pair).total_vm, "DATA": mm_of(pair).data_vm}[name]
    limit(pair, name, used + ROOM)
    grow = lambda n: ("mremap", at(0), (2 + 3 * n) * P, (5 + 3 * n) * P, 0, 0)  # noqa: E731
    assert until_it_fails(pair, grow) == (6, errno.ENOMEM)


def test_what_stays_behind_a_move_counts(pair: Pair) -> None:
    assert do(pair, *maps(8)(0)) == at(0)
    limit(pair, "AS", mm_of(pair).total_vm + ROOM)
    flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP
    move = lambda n: ("mremap", at(0), 8 * P, 8 * P, flags, at(100 + 20 * n))  # noqa: E731
    assert until_it_fails(pair, move) == (2, errno.ENOMEM)


@pytest.mark.parametrize(("name", "times"), [("AS", ROOM), ("STACK", ROOM - 1), ("MEMLOCK", ROOM)])
def test_a_stack_grows_until_it_meets(pair: Pair, name: str, times: int) -> None:
    flags = ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | (MAP_LOCKED if name == "MEMLOCK" else 0)
    do(pair, "capset")
    limit(pair, "MEMLOCK", ROOM + 1)
    assert do(pair, "mmap", at(900), P, RW, flags, -1, 0) == at(900)
    limit(pair, "AS", mm_of(pair).total_vm + ROOM if name == "AS" else 1 << 30)
    limit(pair, "STACK", ROOM if name == "STACK" else 1 << 20)
    down = lambda n: ("touch_write", at(899 - n))  # noqa: E731
    assert until_it_fails(pair, down) == (times, errno.EFAULT)


LOCKS = {
    "page by page": (lambda n: ("mlock2", at(2 * n), P, 0), ROOM),
    "three pages at a time": (lambda n: ("mlock2", at(3 * n), 3 * P, 0), ROOM // 3),
    "overlapping": (lambda n: ("mlock2", at(n), 2 * P, 0), ROOM - 1),
    "twice the same": (lambda n: ("mlock2", at(n // 2), P, 1), 2 * ROOM),
}


@pytest.mark.parametrize(("again", "times"), LOCKS.values(), ids=LOCKS.keys())
def test_mlock_meets(pair: Pair, again: Steps, times: int) -> None:
    assert do(pair, *maps(100)(0)) == at(0)
    do(pair, "capset")
    limit(pair, "MEMLOCK", ROOM)
    assert until_it_fails(pair, again) == (times, errno.ENOMEM)


def test_everything_locked_and_to_be_locked_meets(pair: Pair) -> None:
    do(pair, "capset")
    limit(pair, "MEMLOCK", mm_of(pair).total_vm - 1)
    assert do(pair, "mlockall", MCL_CURRENT) == -errno.ENOMEM
    limit(pair, "MEMLOCK", mm_of(pair).total_vm + ROOM)
    assert do(pair, "mlockall", MCL_CURRENT | MCL_FUTURE) == 0
    room = mm_of(pair).total_vm + ROOM - mm_of(pair).locked_vm
    assert until_it_fails(pair, maps(1)) == (room, errno.EAGAIN)
    start = mm_of(pair).brk
    assert do(pair, "brk", start + P) == start, "nor does the heap grow"
    assert do(pair, "mremap", at(0), P, 2 * P, 0, 0) == -errno.EAGAIN
    limit(pair, "MEMLOCK", 0)
    assert do(pair, "mlock2", at(0), P, 0) == -errno.EPERM
