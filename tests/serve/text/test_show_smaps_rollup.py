"""The sums of a memory are shown as the kernel's smaps_rollup has them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import untorn
from tests.helpers.maps_texts import GATE_LINE, line
from tests.helpers.populated import WAYS, Populated
from tests.helpers.smaps_records import Record, records
from tests.helpers.this_machine import by_frames, by_scans
from untorn.reader.memory.memory import Memory
from untorn.serve.text.show_smaps import show_smaps
from untorn.serve.text.show_smaps_rollup import show_smaps_rollup

pytestmark = pytest.mark.live
NEVER_COUNTED = {"Referenced", "LazyFree"}
SHARES = {"Pss", "Pss_Dirty", "Pss_Anon", "Pss_File", "Pss_Shmem", "SwapPss", "Locked"}
LOOKS = 20
"""Looks at a process that stands still, but shares libraries with others that come and go."""


@pytest.fixture(scope="module")
def pid() -> Iterator[int]:
    with Populated(["dense", "sparse", "shared", "in_memory", "on_a_disk", "huge"]) as process:
        process.fork(f"[regions.unshare(at) for at in {list(process.at.values())}]")
        yield process.pid


def rollup_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/smaps_rollup").read_bytes()


def only_record(text: bytes) -> Record:
    (record,) = records(text)
    return record


def test_what_the_kernel_summed_up_is_shown_as_it_did(pid: int) -> None:
    text = rollup_of(pid)
    assert bytes(show_smaps_rollup(Memory.parse(text))) == text


@by_frames
@by_scans
def test_what_is_counted_is_what_the_kernel_sums_up_but_some_fields(pid: int) -> None:
    always = set(only_record(rollup_of(pid)).fields)
    for _ in range(LOOKS):
        shown = only_record(bytes(show_smaps_rollup(untorn.memory(pid, max_hold=WAYS["pagemap"]))))
        told = only_record(rollup_of(pid))
        assert shown.line == told.line
        known = [name for name in shown.fields if name in told.fields]  # an older kernel lacks some
        assert known == [name for name in told.fields if name not in NEVER_COUNTED]
        always &= {
            name
            for name in known
            if abs(shown.kb(name) - told.kb(name))
            > (name in SHARES)  # a fraction of a kB is dropped
        }
        if not always:
            break
    assert always == set()


def test_of_what_smaps_rounded_no_share_is_summed_up(pid: int) -> None:
    told = untorn.memory(pid, max_hold=WAYS["smaps"])
    shown = only_record(bytes(show_smaps_rollup(told)))
    names = only_record(rollup_of(pid)).fields.keys()
    assert shown.fields.keys() == names - SHARES
    for name in shown.fields:
        assert shown.kb(name) == sum(each.kb(name) for each in records(bytes(show_smaps(told))))


def test_of_a_process_without_memory_of_its_own_sums_are_empty() -> None:
    text = GATE_LINE + b"Rss:                   0 kB\n"
    assert bytes(show_smaps_rollup(Memory.parse(text))) == (
        line(0, 0, b"[rollup]", b"---p") + b"Rss:                   0 kB\n"
    )
