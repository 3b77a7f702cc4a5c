"""The engine's pools of huge pages against the machine's, which has some for as long as a test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.this_machine import or_skip
from untorn.conform.huge_pages import KernelPools, give_pages
from untorn.conform.pair import Pair
from untorn.conform.run import conform, replay
from untorn.conform.script_text import parse_operation
from untorn.mm.hugetlb import HugePool

pytestmark = pytest.mark.live

NR = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
PAGES, MORE = 8, 4


@pytest.fixture
def pools() -> Iterator[KernelPools]:
    """Give the machine pages, if no other run may be disturbed by that."""
    if not os.access(NR, os.W_OK):
        pytest.skip("no right to give this machine huge pages, or a kernel without them")
    pools = KernelPools()
    try:
        if pools.in_use or pools.counts() or not pools.lock(alone=True):
            pytest.skip("others use the huge pages of this machine, or a run is under way")
        give_pages(PAGES, MORE)
        pools.look()
        if int(NR.read_text()) != PAGES:
            pytest.skip("this machine has no huge pages to give")
        yield pools
    finally:
        if not pools.in_use:
            give_pages(0, 0)
        pools.close()


def test_calls_and_counts_are_those_of_the_kernel(pools: KernelPools) -> None:
    with or_skip(lambda: Pair.live(pools=pools)) as pair:
        outcome = conform(pair, 1500, "huge pages")
        assert not outcome.failures
    assert pools.counts()["2048kB resv_hugepages"] == 0


def test_a_wrong_count_is_a_mismatch(pools: KernelPools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HugePool, "unreserve", lambda pool, pages: None)
    flags = "MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE | MAP_HUGETLB"
    script = [
        f"mmap(0x200000000000, 0x200000, PROT_READ, {flags}, -1, 0)",
        "munmap(0x200000000000, 0x200000)",
    ]
    with or_skip(lambda: Pair.live(pools=pools)) as pair:
        mismatch = replay(pair, map(parse_operation, script))
    assert mismatch is not None
    assert mismatch.number == 1
    assert mismatch.engine.maps == mismatch.kernel.maps


def test_a_second_run_leaves_a_pool_that_has_pages_alone(pools: KernelPools) -> None:
    other = KernelPools()
    assert other.in_use
    assert not any("nr_hugepages" in pool for pool in other.facts())
    other.close()
