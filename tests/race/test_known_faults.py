"""Linux's known faults: recognised by release, file, rule and place; nothing else counts as one."""

import pytest

from tests.helpers.entries import record
from tests.helpers.repository import ROOT
from untorn.judge.contract import Verdict, judge
from untorn.judge.reading import Fill, Reading
from untorn.judge.views import Solid
from untorn.race.known_faults import KNOWN_FAULTS, KnownFault, find_known_fault
from untorn.releases.release import Release

RANGE = (0x1000, 0x6000)


def verdict_on(*fills: tuple[tuple[int, int], ...]) -> Verdict:
    """Judge lines of a range that is mapped throughout; each fill is a tuple of pages."""
    lines = [tuple(record(a << 12, b << 12) for a, b in fill) for fill in fills]
    reading = Reading.of_text([Fill(each, 0, 0) for each in (*lines, ())])
    return judge(Solid((RANGE,)), reading, RANGE)


FALSE_GAPS = [
    ((1, 2), (4, 6)),  # the end of a VMA of three pages is missing
    ((1, 2), (2, 3), (4, 6)),  # a piece of it
    ((1, 4), (4, 5)),  # the last of the map
]


@pytest.mark.parametrize("lines", FALSE_GAPS)
def test_a_range_missing_behind_a_line_of_its_fill_is_the_false_gap_since_6_17(
    lines: tuple[tuple[int, int], ...],
) -> None:
    (violation,) = verdict_on(lines).violations
    fault = find_known_fault(violation, "maps", Release(6, 17))
    assert fault is not None
    assert fault.name == "false gap"
    assert find_known_fault(violation, "maps", Release(7, 3)) is fault
    assert find_known_fault(violation, "maps", Release(6, 16)) is None
    assert find_known_fault(violation, "smaps", Release(7, 3)) is None


@pytest.mark.parametrize(
    "fills",
    [
        (((2, 6),),),  # before the first line
        (((1, 2),), ((4, 6),)),  # between two fills
        (((1, 3), (2, 3), (3, 6)),),  # no gap, but a line out of order
    ],
)
def test_whatever_else_is_wrong_is_not_known(
    fills: tuple[tuple[tuple[int, int], ...], ...],
) -> None:
    violations = verdict_on(*fills).violations
    assert violations
    assert not any(find_known_fault(each, "maps", Release(6, 18)) for each in violations)


@pytest.mark.parametrize("fault", KNOWN_FAULTS)
def test_each_is_explained_in_the_docs(fault: KnownFault) -> None:
    assert (ROOT / fault.docs).is_file()
