"""Counts from pagemap equal the engine's smaps, and hold slice by slice while memory changes.

Here all states are known, and the test chooses what happens between two slices.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.engine import FIXED, RW, Pages, addr
from tests.helpers.engine_pages import counted
from tests.helpers.smaps_records import Record, records
from untorn.engine import (
    MADV_FREE,
    MADV_GUARD_INSTALL,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    PAGE_SIZE,
    PMD_SIZE,
    PROT_READ,
    VmFile,
)
from untorn.reader.memory.quantity import LOWS, PSS_SHIFT, SLACKS, Counts, Quantity

POPULATED = FIXED | MAP_POPULATE
SHARED, PRIVATE = MAP_SHARED | MAP_FIXED, MAP_PRIVATE | MAP_FIXED
BORDER = (PMD_SIZE - addr(0)) // PAGE_SIZE
"""The first page of the second table."""
CHUNKS = [PMD_SIZE, 4 * PMD_SIZE]
SMAPS: dict[Quantity, tuple[str, ...]] = {
    Quantity.RSS: ("Rss",),
    Quantity.PRIVATE: ("Private_Clean", "Private_Dirty"),
    Quantity.SHARED: ("Shared_Clean", "Shared_Dirty"),
    Quantity.PSS: ("Pss",),
    Quantity.ANONYMOUS: ("Anonymous",),
    Quantity.SWAP: ("Swap",),
}
CLEAN = {Quantity.PRIVATE_CLEAN: ("Private_Clean",), Quantity.SHARED_CLEAN: ("Shared_Clean",)}
"""If no page was freed lazily and is still there: such pages count as dirty."""


@pytest.fixture
def process() -> Pages:
    process = Pages()
    process.map(BORDER - 4, BORDER + 4, RW, POPULATED)
    return process


def smaps_of(process: Pages) -> list[Record]:
    return records(process.open("smaps").read(1 << 20))


def in_kb(counts: Counts, row: int, quantity: Quantity) -> int:
    shift = PSS_SHIFT if quantity in (Quantity.PSS, Quantity.PSS_SLACK) else 0
    return int(counts[row, quantity]) >> shift + 10


def advise(process: Pages, first: int, end: int, advice: int) -> None:
    process.madvise(addr(first), (end - first) * PAGE_SIZE, advice)


CALLS: dict[str, Callable[[Pages, int, int], object]] = {
    "map": lambda p, first, end: p.map(first, end),
    "populate": lambda p, first, end: p.map(first, end, RW, POPULATED),
    "map readable": lambda p, first, end: p.map(first, end, PROT_READ),
    "map shared": lambda p, first, end: p.map(first, end, RW, SHARED | MAP_ANONYMOUS),
    "map a file shared": lambda p, first, end: p.map(first, end, RW, SHARED, fd=3),
    "map a file": lambda p, first, end: p.map(first, end, RW, PRIVATE | MAP_POPULATE, fd=3),
    "unmap": lambda p, first, end: p.unmap(first, end),
    "write": lambda p, first, end: p.access(first, write=True),
    "read": lambda p, first, end: p.access(first, write=False),
    "drop": lambda p, first, end: p.drop(first, end),
    "give up": lambda p, first, end: advise(p, first, end, MADV_FREE),
    "guard": lambda p, first, end: advise(p, first, end, MADV_GUARD_INSTALL),
    "move": lambda p, first, end: p.move(first, end, 2 * BORDER - first),
    "fork": lambda p, first, end: p.fork(),
}
calls = st.tuples(
    st.sampled_from([*CALLS, *["populate", "write", "read"] * 3]),
    st.integers(BORDER - 6, BORDER + 5),
    st.integers(1, 6),
    st.booleans(),
)


def family_after(script: list[tuple[str, int, int, bool]]) -> list[Pages]:
    """Return a process and its children after some calls, each by the first or the last one."""
    family = [Pages()]
    family[0].files[3] = VmFile(b"/file", size=20 * PAGE_SIZE)
    for name, first, pages, of_the_last in script:
        with suppress(OSError):  # not mapped, not anonymous, or overlapping
            made = CALLS[name](family[-of_the_last], first, first + pages)
            if isinstance(made, Pages):
                family.append(made)
    return family


@settings(max_examples=150, derandomize=True, database=None, deadline=None)
@given(script=st.lists(calls, min_size=4, max_size=16))
def test_what_is_counted_is_what_smaps_tells(script: list[tuple[str, int, int, bool]]) -> None:
    for process in family_after(script):
        wanted = smaps_of(process)
        for chunk in CHUNKS if wanted else ():
            for scans in True, False:
                bounds = counted(process, chunk, frames=False, scans=scans)
                assert_within(bounds, wanted)
            exact = counted(process, chunk)
            assert not exact[:, SLACKS].any()
            assert_within(exact, wanted)


def assert_within(counts: Counts, wanted: list[Record]) -> None:
    for row, record in enumerate(wanted):
        for quantity, fields in (SMAPS if record.kb("LazyFree") else SMAPS | CLEAN).items():
            low, kb = in_kb(counts, row, quantity), sum(map(record.kb, fields))
            room = in_kb(counts, row, SLACKS[LOWS.index(quantity)])
            assert low <= kb <= low + room, f"{quantity.name} of {record.line!r}"


@dataclass(frozen=True)
class Change:
    """What happens between the two slices, and the expected counts in pages."""

    make: Callable[[Pages], object]
    rss: int
    private: int
    pss: float

    def assert_counted(self, process: Pages) -> None:
        counts = counted(process, PMD_SIZE, between=lambda: self.make(process))
        found = [
            sum(in_kb(counts, row, quantity) for row in range(len(counts))) / 4
            for quantity in (Quantity.RSS, Quantity.PRIVATE, Quantity.PSS)
        ]
        assert found == [self.rss, self.private, self.pss]


def left_alone(process: Pages) -> None:
    """Change nothing."""


CHANGES = {
    "nothing": Change(left_alone, 8, 8, 8),
    "its end is unmapped": Change(lambda p: p.unmap(BORDER + 2, BORDER + 4), 6, 6, 6),
    "what was counted is unmapped": Change(lambda p: p.unmap(BORDER - 4, BORDER), 8, 8, 8),
    "its end is mapped over": Change(lambda p: p.map(BORDER + 2, BORDER + 4), 6, 6, 6),
    "its end is dropped": Change(lambda p: p.drop(BORDER + 1, BORDER + 4), 5, 5, 5),
    "a page comes over what is to be counted": Change(
        lambda p: p.move(BORDER - 4, BORDER - 3, BORDER), 8, 8, 8
    ),
    "a page leaves for what was counted": Change(
        lambda p: p.move(BORDER, BORDER + 1, BORDER - 4), 7, 7, 7
    ),
    "a page moves within what is to be counted": Change(
        lambda p: p.move(BORDER, BORDER + 1, BORDER + 3), 7, 7, 7
    ),
    "a fork": Change(Pages.fork, 8, 4, 6),
    "a fork that has ended": Change(lambda p: p.fork().exit(), 8, 8, 8),
    "a fork that has written": Change(lambda p: p.fork().access(BORDER, write=True), 8, 5, 6.5),
}


@pytest.mark.parametrize("what", CHANGES)
def test_each_slice_is_counted_as_it_is_when_it_is_read(what: str, process: Pages) -> None:
    CHANGES[what].assert_counted(process)


def test_an_end_between_two_slices_is_told(process: Pages) -> None:
    with pytest.raises(ProcessLookupError):
        counted(process, PMD_SIZE, between=process.exit)
