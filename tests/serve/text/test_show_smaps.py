"""Memory is shown in the format of the kernel's smaps, whether read from that or counted."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import untorn
from tests.helpers.engine import FIXED, RW, Pages, read_all
from tests.helpers.maps_texts import GATE_LINE, line
from tests.helpers.populated import WAYS, Populated
from tests.helpers.regions import KINDS
from tests.helpers.smaps_texts import Record, smaps
from tests.helpers.this_machine import by_frames, by_scans
from untorn.engine import MAP_ANONYMOUS, MAP_FIXED, MAP_POPULATE, MAP_SHARED, PROT_READ
from untorn.reader.memory.figure import Figure
from untorn.reader.memory.memory import How, Memory
from untorn.reader.text.parse import parse
from untorn.serve.text.show_smaps import show_smaps
from untorn.serve.text.show_smaps_rollup import show_smaps_rollup
from untorn.serve.text.text import Text

NEVER_COUNTED = {b"Referenced", b"LazyFree", b"THPeligible", b"ProtectionKey", b"VmFlags"}
SUMS_ONLY = {b"Pss_Anon", b"Pss_File", b"Pss_Shmem"}
BY_WRITES = {
    *(b"Shared_Clean", b"Shared_Dirty", b"Private_Clean", b"Private_Dirty"),
    b"Pss_Dirty",
}
"""What differs if pages were freed lazily and are still there: those count as dirty."""
LOOKS = 20
"""Looks at a process that stands still, but shares libraries with others that come and go."""


@settings(max_examples=25)
@given(smaps())
def test_what_a_kernel_of_any_release_told_is_shown_as_it_told_it(
    drawn: tuple[list[Record], bytes],
) -> None:
    records, text = drawn
    shown = show_smaps(Memory.parse(text))
    assert bytes(shown) == text
    assert len(shown.records) == len(records)


SHARED = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED
MAPPINGS = st.tuples(
    *(st.integers(0, 30), st.integers(1, 9), st.sampled_from([PROT_READ, RW])),
    *(st.sampled_from([FIXED, SHARED]), st.sampled_from([0, MAP_POPULATE])),
)


@settings(max_examples=25)
@given(st.lists(MAPPINGS, max_size=8))
def test_what_the_engine_told_is_shown_as_it_told_it(
    mappings: list[tuple[int, int, int, int, int]],
) -> None:
    process = Pages()
    for first, pages, prot, flags, populate in mappings:
        process.map(first, first + pages, prot, flags | populate)
    smaps, rollup = (read_all(process.open(name)) for name in ("smaps", "smaps_rollup"))
    assert bytes(show_smaps(Memory.parse(smaps))) == smaps
    assert bytes(show_smaps_rollup(Memory.parse(rollup))) == rollup


@pytest.fixture(scope="module")
def family() -> Iterator[dict[str, int]]:
    """A process with memory of every kind that an agent may meet, and its child."""
    with Populated(kind for kind in KINDS if kind not in ("reserved", "locked")) as process:
        some = [at for kind, at in process.at.items() if kind != "program"]
        child = process.fork(f"[regions.unshare(at) for at in {some}]")
        yield {"parent": process.pid, "child": child}


WHO = pytest.mark.parametrize("who", ["parent", "child"])


def names_in(record: bytes) -> list[bytes]:
    """Return the names of the fields of a record."""
    return [line.partition(b":")[0] for line in record.splitlines()[1:]]


def unlike(shown: Text, told: Text) -> set[tuple[bytes, bytes]]:
    """Return which lines of which VMAs differ from what the kernel prints."""
    found = set()
    of_kernel = names_in(told.records[0])
    for ours, theirs in zip(shown.records, told.records, strict=True):
        header, *lines = ours.splitlines()
        expected = theirs.splitlines()
        assert header == expected[0]
        given_up = BY_WRITES if b"\nLazyFree:              0 kB\n" not in theirs else set()
        found |= {
            (header, name)
            for line, name in zip(lines, names_in(ours), strict=True)
            if name in of_kernel and line not in expected and name not in given_up
        }
    return found


@pytest.mark.live
@WHO
def test_a_process_that_stands_still_is_shown_as_the_kernel_shows_it(
    family: dict[str, int], who: str
) -> None:
    def is_alike() -> bool:
        shown = bytes(show_smaps(untorn.memory(family[who], max_hold=WAYS["smaps"])))
        return shown == Path(f"/proc/{family[who]}/smaps").read_bytes()

    assert any(is_alike() for _ in range(LOOKS)), "each time"


@pytest.mark.live
@by_frames
@by_scans
@WHO
def test_what_is_counted_is_what_the_kernel_prints_but_some_fields(
    family: dict[str, int], who: str
) -> None:
    path = Path(f"/proc/{family[who]}/smaps")
    always = None
    for _ in range(LOOKS):
        shown = show_smaps(untorn.memory(family[who], max_hold=WAYS["pagemap"]))
        told = Text.of_smaps(path.read_bytes())
        (names,) = {tuple(names_in(record)) for record in shown.records}
        of_kernel = names_in(told.records[0])  # an older kernel does not have all
        assert [name for name in names if name in of_kernel] == [
            name for name in of_kernel if name not in NEVER_COUNTED
        ]
        found = unlike(shown, told)
        always = found if always is None else always & found
        if not always:
            break
    assert always == set()


def memory_of(how: How = How.PAGEMAP, **figures: Figure) -> Memory:
    """Return what two VMAs have, besides the page that all processes have."""
    lines = line(0x10000, 0x2000, b"[heap]"), line(0x20000, 0x3000, b""), GATE_LINE
    return Memory(parse(lines), figures, [how] * 3)


def test_what_is_not_known_of_all_vmas_is_left_out_of_all() -> None:
    memory = memory_of(
        rss=Figure.exact([8192, 4096, 0]),
        pss=Figure.between([2048, 4096, 0], [8192, 4096, 0]),
        swap=Figure.exact([0, 12288, 0]),
    )
    assert bytes(show_smaps(memory)) == b"".join(
        (
            line(0x10000, 0x2000, b"[heap]"),
            *(b"Rss:                   8 kB\n", b"Swap:                  0 kB\n"),
            line(0x20000, 0x3000, b""),
            *(b"Rss:                   4 kB\n", b"Swap:                 12 kB\n"),
            GATE_LINE,
            *(b"Rss:                   0 kB\n", b"Swap:                  0 kB\n"),
        )
    )
    assert bytes(show_smaps_rollup(memory)) == (
        b"00010000-00023000 ---p 00000000 00:00 0                                  [rollup]\n"
        b"Rss:                  12 kB\nSwap:                 12 kB\n"
    )


def test_an_estimate_is_not_shown() -> None:
    size = np.array([8192, 12288, 4096], np.uint64)
    guessed = Figure.exact([8192, 4096, 0]).estimated(np.array([1e6, 0, 0]), size)
    memory = memory_of(How.SAMPLE, rss=guessed)
    for show in show_smaps, show_smaps_rollup:
        with pytest.raises(ValueError, match="estimate"):
            show(memory)


def test_a_field_that_some_records_lack_is_missing_there_and_in_sums() -> None:
    text = b"".join(
        (
            line(0x10000, 0x2000, b"[heap]"),
            *(b"Rss:                   8 kB\n", b"Pss:                   4 kB\n"),
            b"VmFlags: rd wr \n",
            line(0x20000, 0x3000, b""),
            *(b"Rss:                   4 kB\n", b"VmFlags: rd \n"),
        )
    )
    memory = Memory.parse(text)
    assert bytes(show_smaps(memory)) == text
    assert b"Pss" not in bytes(show_smaps_rollup(memory))
