"""The engine against the running kernel, from outside the child; and what a mismatch looks like."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from untorn.cli import main
from untorn.conform.pair import Pair
from untorn.conform.run import conform
from untorn.conform.shrink import shrink
from untorn.errors import OutOfReach
from untorn.fs.proc.from_maps import mm_from_maps
from untorn.live.minimal_child import MinimalChild
from untorn.mm import vma_merge
from untorn.syscalls import Process


@pytest.fixture
def pair():
    try:
        pair = Pair()
    except OutOfReach as reason:
        pytest.skip(str(reason))
    with pair:
        yield pair


def text_of(maps: bytes) -> bytes:
    process = Process(mm_from_maps(maps))
    with process.open_maps() as file:
        return b"".join(iter(lambda: file.read(1 << 16), b""))


@pytest.mark.live
def test_this_process_maps_come_back_to_the_byte() -> None:
    maps = Path("/proc/self/maps").read_bytes()
    assert text_of(maps) == maps


@pytest.mark.live
def test_a_few_thousand_operations_agree(pair) -> None:
    outcome = conform(pair, 3000, "1", lambda done: None)
    assert outcome.failure is None
    assert outcome.operations == 3000
    succeeded = sum(count for (_, how), count in outcome.counts.items() if how == "ok")
    assert succeeded > 0.6 * 3000


@pytest.mark.live
def test_a_fault_in_the_engine_is_found_and_shown_by_a_short_script(pair, monkeypatch) -> None:
    monkeypatch.setattr(vma_merge, "_anon_vmas_agree", lambda left, right: True)
    outcome = conform(pair, 50_000, "1", lambda done: None)
    assert outcome.failure is not None
    assert len(outcome.failure.operations) <= 8
    assert outcome.failure.mismatch.engine_maps != outcome.failure.mismatch.kernel_maps


@pytest.mark.live
def test_the_child_ends_with_its_owner() -> None:
    try:
        child = MinimalChild()
    except OutOfReach as reason:
        pytest.skip(str(reason))
    with child:
        assert Path(f"/proc/{child.pid}").exists()
    assert not Path(f"/proc/{child.pid}").exists()


def test_shrinking_leaves_what_is_needed() -> None:
    assert shrink(list(range(100)), lambda left: {17, 59} <= set(left)) == [17, 59]


def test_wrong_usage() -> None:
    assert CliRunner().invoke(main, ["conform", "--ops", "0"]).exit_code == 2
