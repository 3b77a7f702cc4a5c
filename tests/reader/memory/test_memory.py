"""The memory of a process from a text of smaps: sums, and which of them are unknown."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from tests.helpers.maps_texts import line
from tests.helpers.smaps_texts import Record, field, smaps
from untorn.reader.memory.memory import FIELDS, How, Memory

PAGE = 0x1000
KB = 1 << 10
HEAP = line(0x5555_0000_0000, 4 * PAGE, b"[heap]")
CODE = line(0x5555_0001_0000, 4 * PAGE, b"/lib/x.so", b"r-xp", inode=7)
DATA = line(0x5555_0002_0000, PAGE, b"/lib/x.so", inode=7)
TEXT = b"".join(
    (
        *(HEAP, field("Rss", 12), field("Pss", 6), field("Private_Clean", 4)),
        *(field("Private_Dirty", 4), field("Anonymous", 8)),
        *(CODE, field("Rss", 16), field("Pss", 3), field("Private_Clean", 0)),
        *(field("Private_Dirty", 0), field("Anonymous", 0)),
        *(DATA, field("Rss", 4), field("Pss", 4), field("Private_Clean", 0)),
        *(field("Private_Dirty", 4), field("Anonymous", 4)),
    )
)


@given(smaps())
def test_what_any_kernel_prints_is_summed(drawn: tuple[list[Record], bytes]) -> None:
    records, text = drawn
    memory = Memory.parse(text)
    assert [vma.line() for vma in memory] == [record.entry.line() for record in records]
    of_all = {name: sum(each.numbers[name] for each in records) for name in records[0].numbers}
    total = memory.total
    assert (total.vmas, total.bounds) == (len(records), {})
    assert (total.rss, total.pss, total.swap) == (of_all["Rss"], of_all["Pss"], of_all["Swap"])
    assert total.private == of_all["Private_Clean"] + of_all["Private_Dirty"]
    assert total.shared == of_all["Shared_Clean"] + of_all["Shared_Dirty"]
    assert total.ksm == of_all.get("KSM")
    assert total.size == sum(record.entry.size for record in records)


@given(smaps())
def test_sums_by_name_are_those_of_the_vmas_with_that_name(
    drawn: tuple[list[Record], bytes],
) -> None:
    records, text = drawn
    sums = Memory.parse(text).by_name()
    assert set(sums) == {record.entry.name for record in records}
    for name, amounts in sums.items():
        mine = [record for record in records if record.entry.name == name]
        assert amounts.vmas == len(mine)
        assert amounts.rss == sum(record.numbers["Rss"] for record in mine)
    resident = [amounts.rss or 0 for amounts in sums.values()]
    assert resident == sorted(resident, reverse=True)


def test_columns_are_bytes_and_cannot_be_written() -> None:
    memory = Memory.parse(TEXT)
    assert memory.rss is not None
    assert memory.rss.dtype == np.uint64
    assert memory.rss.tolist() == [12 * KB, 16 * KB, 4 * KB]
    assert memory.private is not None
    assert memory.private.tolist() == [8 * KB, 0, 4 * KB]
    assert memory.how.tolist() == [How.SMAPS] * 3
    with pytest.raises(ValueError, match="read-only"):
        memory.rss[0] = 1


def test_what_no_record_tells_is_absent() -> None:
    memory = Memory.parse(TEXT)
    for name in "swap", "shared", "locked", "guard", "huge", "ksm", "hugetlb", "swap_pss":
        assert getattr(memory, name) is None
        assert memory.bounds(name) is None
        assert getattr(memory.total, name) is None
        assert name not in memory.total.bounds


def test_what_one_record_does_not_tell_has_bounds() -> None:
    memory = Memory.parse(TEXT.replace(field("Pss", 3), b""))
    assert memory.pss is None
    least, most = memory.bounds("pss") or ([], [])
    assert list(map(int, least)) == [6 * KB, 0, 4 * KB]
    assert list(map(int, most)) == [6 * KB, 4 * PAGE, 4 * KB]
    assert memory.total.pss is None
    assert memory.total.bounds == {"pss": (10 * KB, 26 * KB)}
    by_name = memory.by_name()
    assert by_name[b"/lib/x.so"].bounds["pss"] == (4 * KB, 20 * KB)


def test_a_sum_of_which_a_part_is_told_nowhere_is_absent() -> None:
    memory = Memory.parse(TEXT.replace(b"Private_Clean", b"Private_Other"))
    assert memory.private is None
    assert memory.bounds("private") is None


def test_a_rollup_is_one_row_of_sums_without_a_size() -> None:
    text = Path("/proc/self/smaps_rollup").read_bytes()
    memory = Memory.parse(text)
    assert memory.names == (b"[rollup]",)
    assert memory.total.rss
    assert memory.size is None
    assert memory.total.size is None


def test_no_other_quantity_is_asked_for() -> None:
    memory = Memory.parse(TEXT)
    for name in FIELDS:
        memory.bounds(name)
    with pytest.raises(ValueError, match="no quantity uss; there are size, rss"):
        memory.bounds("uss")


def test_it_says_how_much_it_is() -> None:
    memory = Memory.parse(TEXT)
    assert repr(memory) == "<Memory of 3 VMAs, 32 KiB resident>"
