"""Readings judged without states: by what is always mapped, or by the views that are possible."""

import pytest

from tests.helpers.entries import vma, vmas
from untorn.judge.contract import Evidence, Rule, judge
from untorn.judge.reading import Fill, Reading
from untorn.judge.report import report
from untorn.judge.views import Solid, alternating

WITHIN = (0, 6)


def broken(evidence: Evidence, lines: list[str], last: int) -> list[tuple[Rule, object]]:
    reading = Reading.of_text([Fill([vma(line) for line in lines], 0, last)])
    return [(each.rule, each.around) for each in judge(evidence, reading, WITHIN).violations]


@pytest.mark.parametrize(
    "lines", [["aaaaaa"], ["aa", "..bb", "....cc"], ["aa", "aaa", "...bbb"], ["aa", "...bbb"]]
)
def test_whatever_covers_what_is_always_mapped_is_believed(lines: list[str]) -> None:
    assert broken(Solid(((0, 2), (3, 6))), lines, 0) == []


def test_what_is_always_mapped_is_missed() -> None:
    solid = Solid(((0, 2), (3, 6)))
    assert broken(solid, ["a", "....b"], 0) == [
        (Rule.GAP, (1, 2)),
        (Rule.GAP, (3, 4)),
        (Rule.GAP, (5, 6)),
    ]
    assert broken(solid, ["aaa", "..a", "...bbb"], 0) == [(Rule.ENDS, (2, 3))]


def test_the_report_says_what_is_always_mapped() -> None:
    solid, reading = Solid(((0, 2), (3, 6))), Reading([Fill([vma("...bbb")], 0, 0)])
    (violation,) = judge(solid, reading, WITHIN).violations
    assert "  mapped at every instant: 00000000-00000002" in report(violation, reading, solid)


SPLIT = alternating([vmas("mxxxnn"), vmas("myxxnn")], [WITHIN])


@pytest.mark.parametrize(
    "lines",
    [
        ["m", ".xxx", "....nn"],
        ["m", ".y", "..xx", "....nn"],
        ["m", ".y", ".xxx", "....nn"],
    ],
    ids=["whole", "split", "duplicate"],
)
def test_a_view_there_can_be_passes(lines: list[str]) -> None:
    assert broken(SPLIT, lines, SPLIT.last) == []


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        (["m", ".y", "....nn"], Rule.GAP),
        (["m", "....nn"], Rule.GAP),
        (["m", ".yyy", "....nn"], Rule.LINE),
        (["m", ".xxx", "..xx", "....nn"], Rule.ENDS),
    ],
)
def test_a_view_there_cannot_be_is_refused(lines: list[str], rule: Rule) -> None:
    assert rule in [found for found, _ in broken(SPLIT, lines, SPLIT.last)]


def test_what_is_unmapped_for_an_instant_may_be_left_out() -> None:
    # Page 2 is moved over: mapped before and after, but not at every instant.
    remap = alternating([vmas("mxxxnn"), vmas("mxzxnn")], [(0, 2), (3, 6)])
    assert broken(remap, ["m", ".x", "...x", "....nn"], remap.last) == []
    assert broken(remap, ["m", ".x", "....nn"], remap.last) == [(Rule.GAP, (3, 4))]
