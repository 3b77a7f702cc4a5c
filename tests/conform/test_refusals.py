"""Which errno an mmap call gets that could be refused for two reasons: all pairs of reasons."""

from collections.abc import Iterator

import pytest

from tests.helpers.this_machine import or_skip
from untorn.conform.files import FDS
from untorn.conform.generate.extents import ARENA
from untorn.conform.generate.refusals import pairs, reasons
from untorn.conform.live_oracle import LiveOracle
from untorn.conform.operation import LIMITS, Operation
from untorn.conform.pair import Pair
from untorn.conform.script_text import format_operation
from untorn.maps.page import PAGE_SIZE, TASK_SIZE
from untorn.mm.mman import MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE

REASONS = reasons(ARENA, TASK_SIZE)
RW = PROT_READ | PROT_WRITE
BOUNDS = {
    "nothing is bounded": [],
    "nothing may be locked": [
        Operation("capset"),
        Operation("setrlimit", (LIMITS.index("MEMLOCK"), 0)),
    ],
    "a page may be locked": [
        Operation("capset"),
        Operation("setrlimit", (LIMITS.index("MEMLOCK"), PAGE_SIZE - 1)),
    ],
    "nothing more may be mapped": [Operation("setrlimit", (LIMITS.index("AS"), PAGE_SIZE))],
    "no more data may be mapped": [Operation("setrlimit", (LIMITS.index("DATA"), PAGE_SIZE))],
}


@pytest.fixture(scope="module")
def both() -> Iterator[Pair]:
    with or_skip(Pair.live) as pair:
        yield pair


def all_calls() -> Iterator[Operation]:
    for fd in FDS.values():
        for map_type in MAP_PRIVATE, MAP_SHARED:
            call = 0, PAGE_SIZE, RW, map_type, fd, 0
            for one, other in pairs(REASONS):
                yield Operation("mmap", other.given(one.given(call)))


def make(pair: Pair, call: Operation) -> tuple[int, int]:
    """Make a call on both sides, undo what it mapped, and return both results."""
    results = []
    assert isinstance(pair.kernel, LiveOracle)
    for side in pair.engine, pair.kernel.side:
        results.append(side.do(call))
        if results[-1] >= 0:
            side.do(Operation("munmap", (results[-1], PAGE_SIZE)))
    return results[0], results[1]


@pytest.mark.live
@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
def test_of_any_two_reasons_engine_and_kernel_give_the_same_one(
    both: Pair, bounds: list[Operation]
) -> None:
    both.renew()
    for operation in bounds:
        assert both.step(operation) is None
    made = {call: make(both, call) for call in all_calls()}
    assert len(made) > 5000
    assert {
        format_operation(c): results for c, results in made.items() if len(set(results)) > 1
    } == {}


def test_each_reason_fits_most_others() -> None:
    partners = {reason.what: 0 for reason in REASONS}
    for one, other in pairs(REASONS):
        partners[one.what] += 1
        partners[other.what] += 1
    assert min(partners.values()) > len(REASONS) // 2
