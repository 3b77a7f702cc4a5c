"""The engine's pools of huge pages against the machine's, which has some while a test runs."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from mmap import MAP_ANONYMOUS, MAP_SHARED, mmap
from pathlib import Path

import pytest

from tests.helpers.engine import text_of
from tests.helpers.tasks import wait_until
from tests.helpers.this_machine import or_skip
from untorn.conform.case_text import parse_cases
from untorn.conform.huge_pages import DISTURBED, IN_USE, KernelPools, give_pages
from untorn.conform.live_oracle import LiveOracle
from untorn.conform.outcome import ConformRun
from untorn.conform.pair import Done, Mismatch, Pair
from untorn.conform.run import conform, conform_case
from untorn.maps.page import PMD_SIZE
from untorn.mm.hugetlb import HugePool
from untorn.mm.mman import MAP_HUGETLB
from untorn.syscalls import Process

pytestmark = pytest.mark.live

NR = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
RESERVED = NR.with_name("resv_hugepages")
PAGES, MORE = 8, 4
HUGE = MAP_ANONYMOUS | MAP_SHARED | MAP_HUGETLB


@pytest.fixture
def pools() -> Iterator[KernelPools]:
    """Give the machine pages, if that cannot disturb another run."""
    if not os.access(NR, os.W_OK):
        pytest.skip("no right to give this machine huge pages, or a kernel without them")
    pools, given = KernelPools(), False
    try:
        if pools.in_use or pools.counts() or not pools.lock(alone=True):
            pytest.skip("others use the huge pages of this machine, or a run is under way")
        given = True
        give_pages(PAGES, MORE)
        pools.look()
        if int(NR.read_text()) != PAGES:
            pytest.skip("this machine has no huge pages to give")
        yield pools
    finally:
        if given:
            give_pages(0, 0)
        pools.close()


def test_calls_and_counts_are_those_of_the_kernel(pools: KernelPools) -> None:
    with or_skip(lambda: Pair.live(pools=pools)) as pair:
        outcome = conform(pair, 1500, "huge pages")
        assert not outcome.failures
    # Others may have some reserved for a while.
    wait_until(lambda: int(RESERVED.read_text()) == 0, "a pool without reservations")


def test_a_wrong_count_is_a_mismatch(pools: KernelPools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HugePool, "unreserve", lambda pool, pages: None)
    flags = "MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE | MAP_HUGETLB"
    script = [
        f"mmap(0x200000000000, 0x200000, PROT_READ, {flags}, -1, 0)",
        "munmap(0x200000000000, 0x200000)",
    ]
    with or_skip(lambda: Pair.live(pools=pools)) as pair:
        [failure] = undisturbed(pair, script).failures
    mismatch = failure.mismatch
    assert mismatch.number == 1
    assert mismatch.engine.maps == mismatch.kernel.maps


def test_a_second_run_leaves_a_pool_that_has_pages_alone(pools: KernelPools) -> None:
    other = KernelPools()
    assert other.in_use
    assert not any("nr_hugepages" in pool for pool in other.facts())
    other.close()


def test_what_is_in_use_by_others_is_left_out(pools: KernelPools) -> None:
    with or_skip(lambda: Pair.live(pools=pools)) as pair, mmap(-1, PMD_SIZE, HUGE):
        outcome = conform(pair, 500, "huge pages")
        assert not outcome.failures
        assert outcome.left_out[IN_USE]


@pytest.mark.parametrize("for_good", [False, True])
def test_what_others_take_meanwhile_is_no_mismatch(
    pools: KernelPools, monkeypatch: pytest.MonkeyPatch, *, for_good: bool
) -> None:
    with ExitStack() as taken, or_skip(lambda: Pair.live(pools=pools)) as pair:
        catch_up = pair.catch_up
        calls = 0

        def disturbed() -> tuple[list[Done], Mismatch | None]:
            nonlocal calls
            calls += 1
            if calls == 1:
                taken.enter_context(mmap(-1, PMD_SIZE, HUGE))
            agreed = catch_up()
            if not for_good:
                taken.close()
            return agreed

        monkeypatch.setattr(pair, "catch_up", disturbed)
        outcome = conform(pair, 500, "huge pages")
    assert not outcome.failures
    assert outcome.left_out[DISTURBED]
    if for_good:
        assert outcome.left_out[IN_USE]


def test_smaps_and_numa_maps_count_them_as_the_kernel_does(pools: KernelPools) -> None:
    private, shared = 0x2000_0000_0000, 0x2000_4000_0000
    flags = "MAP_FIXED | MAP_ANONYMOUS | MAP_HUGETLB"
    script = [
        f"mmap({private}, 0x800000, PROT_READ | PROT_WRITE, {flags} | MAP_PRIVATE, -1, 0)",
        f"mmap({shared}, 0x600000, PROT_READ | PROT_WRITE, {flags} | MAP_SHARED, -1, 0)",
        *(f"touch_read({addr})" for addr in (private, private + PMD_SIZE, shared)),
        *(f"touch_write({addr})" for addr in (private + PMD_SIZE, shared + PMD_SIZE)),
        "fork()",
        f"touch_write({private})",
        f"touch_read({shared})",
    ]
    oracle = or_skip(lambda: LiveOracle(pools=pools))
    with Pair(oracle) as pair:
        assert not undisturbed(pair, script).failures
        folder = Path(f"/proc/{oracle.child.pid}")
        for name in "smaps", "numa_maps":
            if not (folder / name).exists():
                continue
            expected = huge_records((folder / name).read_bytes())
            got = huge_records(text_of(Process(pair.engine.mm), name))
            assert got == expected
            assert len(got) == 2


def undisturbed(pair: Pair, script: list[str]) -> ConformRun:
    """Make a script while nobody else uses the huge pages."""
    [case] = parse_cases("\n".join(script))
    run = conform_case(pair, case, "script")
    if run.left_out:
        pytest.skip("others use the huge pages of this machine")
    return run


def huge_records(text: bytes) -> list[bytes]:
    """Return the records of huge pages, without inode, protection key and soft-dirty."""
    for never_alike, instead in (
        (rb" \d+ +/anon_hugepage", b" /anon_hugepage"),
        (rb"ProtectionKey:.*\n", b""),
        (rb"(?m)(?<=VmFlags)(.*) sd ", rb"\1 "),
    ):
        text = re.sub(never_alike, instead, text)
    records = re.split(rb"\n(?=[0-9a-f]{8,}[- ])", text)
    return [record for record in records if b"anon_hugepage" in record]
