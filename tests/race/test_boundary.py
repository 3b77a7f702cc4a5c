"""The lines at a fill boundary: found, captured, and which pairs may stand there later."""

import pytest

from tests.helpers.entries import vma
from untorn.judge.reading import Fill, Reading
from untorn.maps.entry import MapsEntry
from untorn.maps.page import PAGE_SIZE
from untorn.race.boundary import Edges, Pattern, find_boundary, show_boundary
from untorn.race.passes import read_fills
from untorn.race.racing import QUIET, UnfitError
from untorn.race.tearing import VMA_COUNT, Remap, Resize, Split, Tearing
from untorn.syscalls import Process

WHOLE, NEXT = vma("..xxx"), vma(".....n")
PIECE, REST = vma("..y"), vma("...xx")
SPLIT = Pattern(Edges(WHOLE, NEXT), Edges(PIECE, REST), 3)


def test_what_the_kernels_test_allows_is_allowed() -> None:
    for edges in Edges(WHOLE, NEXT), Edges(PIECE, REST), Edges(PIECE, WHOLE):
        assert SPLIT.objection(edges) is None
    for answer in WHOLE, REST:
        assert SPLIT.objection_to_answer(answer) is None


@pytest.mark.parametrize(
    "edges",
    [
        Edges(PIECE, NEXT),
        Edges(WHOLE, REST),
        Edges(WHOLE, WHOLE),
        Edges(REST, NEXT),
        Edges(PIECE, PIECE),
    ],
)
def test_what_it_does_not_allow_is_not(edges: Edges) -> None:
    assert SPLIT.objection(edges)


@pytest.mark.parametrize("answer", [PIECE, NEXT, vma("...zz")])
def test_a_query_has_to_find_what_is_there(answer: MapsEntry) -> None:
    assert SPLIT.objection_to_answer(answer)


@pytest.mark.parametrize("kind", ["maps", "smaps"])
@pytest.mark.parametrize("scenario", [Split(), Resize(), Remap()], ids=lambda each: each.name)
def test_a_round_changes_the_lines_at_the_boundary_as_it_should(
    scenario: Tearing, kind: str
) -> None:
    process = Process()
    region = scenario.set_up(process)
    file = process.open(kind)
    number, site = find_boundary(read_fills(file, kind, QUIET), scenario, region)

    def look() -> Edges:
        return Edges.of(read_fills(file, kind, QUIET, number + 2), number)

    original = look()
    assert original.last.start == site.addr
    assert original.first.start == site.addr + 3 * PAGE_SIZE
    scenario.modify(process, site)
    modified = look()
    scenario.restore(process, site)
    assert look() == original
    pattern = Pattern.capture(scenario, original, modified)
    assert pattern.objection(original) is None
    assert pattern.objection(modified) is None
    for edges in original, modified:
        asked = [line for line in edges if line.start <= pattern.asked < line.end]
        assert [pattern.objection_to_answer(line) for line in asked] == [None]
    with pytest.raises(UnfitError, match="the lines at the boundary are"):
        Pattern.capture(scenario, original, original)


def test_a_map_without_such_a_boundary_is_unfit() -> None:
    process, scenario = Process(), Split()
    region = scenario.set_up(process)
    process.munmap(scenario.vma(region, 10).addr, region[1] - region[0])
    reading = read_fills(process.open(), "maps", QUIET)
    with pytest.raises(UnfitError, match="no fill ends between two VMAs"):
        find_boundary(reading, scenario, region)
    with pytest.raises(UnfitError, match="no line on one side"):
        Edges.of(reading, 0)


def test_three_lines_on_either_side_are_shown() -> None:
    fills = [Fill([vma("." * n + "x") for n in range(at, at + 5)], 0, 0) for at in (0, 5)]
    shown = show_boundary(Reading(fills), 0)
    assert [line[:8] for line in shown] == [
        *("00000002", "00000003", "00000004"),
        "-- fill ",
        *("00000005", "00000006", "00000007"),
    ]


def test_there_are_more_vmas_than_one_fill_has_lines() -> None:
    process = Process()
    Split().set_up(process)
    fills = read_fills(process.open(), "maps", QUIET).fills
    assert len(fills[0].lines) < VMA_COUNT
