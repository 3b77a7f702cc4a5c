"""Each broken rule of the contract is reported; what the contract permits passes.

Histories are maps as text, one state after the other; see helpers.entries.vmas().
"""

import pytest

from tests.helpers.entries import vma, vmas
from untorn.judge.contract import Rule, Violation, judge
from untorn.judge.history import History
from untorn.judge.reading import Fill, Reading
from untorn.judge.report import report

SPLIT = "mxxxn", "mxyyn"
"""m x n, then x split into x and y."""


def read(lines: list[str], first: int = 0, last: int = 0) -> Reading:
    """A pass whose lines all came in one fill, followed by the fill that found the end."""
    return Reading.of_text([Fill([vma(line) for line in lines], first, last), Fill((), last, last)])


def broken(
    states: tuple[str, ...], reading: Reading, within: tuple[int, int] = (0, 100)
) -> list[tuple[Rule, object]]:
    verdict = judge(History(map(vmas, states)), reading, within)
    return [(each.rule, each.around) for each in verdict.violations]


@pytest.mark.parametrize("version", [0, 1])
def test_a_map_read_while_nobody_writes_is_good(version: int) -> None:
    reading = Reading.of_text(
        [Fill(vmas(SPLIT[version]), version, version), Fill((), version, version)]
    )
    assert broken(SPLIT, reading) == []


@pytest.mark.parametrize(
    "line",
    [".xx", ".xxxx", ".yyy", ".x", ".zzz"],
    ids=["too short", "too long", "wrong attributes", "from the other state", "never there"],
)
def test_rule_1_a_line_that_stood_in_no_state_of_its_window(line: str) -> None:
    reading = read(["m", line, "....n"])
    assert (Rule.LINE, vma(line)[:2]) in broken(SPLIT, reading)


def test_rule_1_a_line_from_before_or_after_its_window() -> None:
    states = "ab", "ac", "ad"
    for line in "b", "d":
        lines = [vma("a"), vma("." + line)]
        reading = Reading([Fill(lines, 1, 1)])
        assert broken(states, reading) == [(Rule.LINE, (1, 2))]


def test_rule_1_windows_belong_to_fills_not_to_the_pass() -> None:
    states = "ab", "ac"
    good = Reading([Fill([vma("a")], 0, 0), Fill([vma(".c")], 1, 1)])
    late = Reading([Fill([vma("a")], 0, 0), Fill([vma(".b")], 1, 1)])
    assert broken(states, good) == []
    assert broken(states, late) == [(Rule.LINE, (1, 2))]


def test_rule_2_a_gap_between_two_lines() -> None:
    # The reader was at X = [1,4), which shrank to [1,2): Linux continues after 4.
    reading = read(["m", ".x", "....n"], 0, 1)
    assert broken(SPLIT, reading) == [(Rule.GAP, (2, 4))]


def test_rule_2_a_gap_before_the_first_line_and_behind_the_last() -> None:
    assert broken(SPLIT, read([".xxx", "....n"])) == [(Rule.GAP, (0, 1))]
    assert broken(SPLIT, read(["m", ".xxx"])) == [(Rule.GAP, (4, 5))]
    assert broken(SPLIT, read([])) == [(Rule.GAP, (0, 5))]


def test_rule_2_only_what_is_mapped_throughout_is_missing() -> None:
    states = "axxxb", "a.xxb", "axx.b"
    reading = read(["a", "....b"], 0, 2)
    assert broken(states, reading) == [(Rule.GAP, (2, 3))]


def test_rule_2_each_page_may_have_been_unmapped_in_a_state_of_its_own() -> None:
    states = "ax.b", "a.xb"
    assert broken(states, read(["a", "...b"], 0, 1)) == []


def test_rule_2_a_gap_that_was_real_before_the_window_only() -> None:
    states = "a..b", "axxb"
    reading = Reading([Fill([vma("a")], 0, 0), Fill([vma("...b")], 1, 1)])
    assert broken(states, reading) == [(Rule.GAP, (1, 3))]


def test_rule_2_the_end_may_be_found_with_the_last_line_or_after_it() -> None:
    states = "a", "ab"
    fills = [Fill([vma("a")], 0, 0), Fill((), 1, 1)]
    assert broken(states, Reading.of_text(fills)) == []
    assert broken(states, Reading.of_queries(fills)) == [(Rule.GAP, (1, 2))]
    assert broken(states, Reading(fills[:1])) == [], "the pass may have continued"


def test_rule_3_ends_that_do_not_grow() -> None:
    states = "aab", "aaa"
    twice = [vma("aa"), vma("aa")]
    back = [vma("aa"), vma("..b"), vma("aa")]
    same_end = [vma("aa"), vma("..b"), vma("aaa")]
    for lines, around in (twice, (0, 2)), (back, (0, 2)), (same_end, (0, 3)):
        assert (Rule.ENDS, around) in broken(states, Reading([Fill(lines, 0, 1)]))


def test_rule_3_an_overlap_without_a_change() -> None:
    # Both were there, but the whole was there before the part, and is shown after it.
    states = "aaa", "abb"
    reading = Reading([Fill([vma("a"), vma("aaa")], 0, 1)])
    assert broken(states, reading) == [(Rule.OVERLAP, (0, 3))]


def test_rule_3_an_overlap_with_a_line_further_back() -> None:
    # The whole of w may follow b, but a appeared only after w was gone.
    states = ".bx", "www", "ayy"
    assert broken(states, read([".b", "www"], 0, 2)) == []
    assert broken(states, read(["a", ".b", "www"], 0, 2)) == [(Rule.OVERLAP, (0, 3))]


def test_rule_3_a_change_before_the_window_of_the_earlier_line_does_not_excuse_it() -> None:
    states = "abb", "aaa", "abb"
    reading = Reading([Fill([vma("a")], 2, 2), Fill([vma("aaa")], 1, 2)])
    assert broken(states, reading) == [(Rule.OVERLAP, (0, 3))]


@pytest.mark.parametrize(
    ("states", "lines"),
    [
        (("mxyyn", "mxxxn"), ["m", ".x", ".xxx", "....n"]),
        (("mxyzn", "mxxxn"), ["m", ".x", "..y", ".xxx", "....n"]),
        (("axxb", "aaxb"), ["a", "aa", "..x", "...b"]),
        (("ax.b", "axxb"), ["a", ".x", ".xx", "...b"]),
    ],
    ids=["merge", "merge of three", "border moved", "growth"],
)
def test_the_duplicate_after_a_merge_or_growth_is_permitted(
    states: tuple[str, str], lines: list[str]
) -> None:
    verdict = judge(History(map(vmas, states)), read(lines, 0, 1))
    assert (verdict.violations, verdict.overlaps) == ((), 1)


@pytest.mark.parametrize(
    ("states", "lines"),
    [
        (("axxb", "a..b", "axxb"), ["a", "...b"]),
        (("a..xb", "axx.b"), ["a", "...x", "....b"]),
        (("ax.b", "a.xb"), ["a", ".x", "..x", "...b"]),
        (("a.xb", "ax.b"), ["a", "...b"]),
    ],
    ids=["transient gap", "gap at either end", "a moved VMA seen twice", "or not at all"],
)
def test_oddities_of_a_map_that_changes_are_permitted(
    states: tuple[str, ...], lines: list[str]
) -> None:
    assert broken(states, read(lines, 0, len(states) - 1)) == []


def test_what_lies_outside_is_not_judged_but_for_growing_ends() -> None:
    states = ("..aab..",)
    lines = [vma("u"), vma("..aa"), vma("....b"), vma(".....vv")]
    assert broken(states, Reading([Fill(lines, 0, 0)]), (2, 5)) == []
    assert broken(states, Reading([Fill(lines[:2] + lines[3:], 0, 0)]), (2, 5)) == [
        (Rule.GAP, (4, 5))
    ]
    around = [lines[0], lines[3]]
    assert broken(states, Reading([Fill(around, 0, 0)]), (2, 5)) == [(Rule.GAP, (2, 5))]
    assert broken(states, Reading([Fill([*lines, lines[0]], 0, 0)]), (2, 5)) == [
        (Rule.ENDS, (0, 1))
    ]


def told(violation: Violation, reading: Reading, history: History) -> list[str]:
    """Return the report with letters for its lines: all the rest is the same in each."""
    return [
        line.replace(" rw-p 00000000 00:00 0", "") for line in report(violation, reading, history)
    ]


def test_a_report_shows_the_rule_the_lines_and_the_states() -> None:
    history, reading = History(map(vmas, SPLIT)), read(["m", ".x", "....n"], 0, 1)
    (violation,) = judge(history, reading).violations
    assert told(violation, reading, history) == [
        "rule 2: a range is left out that is mapped in every state of its window: "
        "00000002-00000004, in states 0 to 1",
        "lines shown:",
        "  00000000-00000001 m  (read 0)",
        "  00000001-00000002 x  (read 0)",
        "> 00000004-00000005 n  (read 0)",
        "what stood from 00000001 to 00000005:",
        "  state 0:",
        "    00000001-00000004 x",
        "    00000004-00000005 n",
        "  state 1:",
        "    00000001-00000002 x",
        "    00000002-00000004 y",
        "    00000004-00000005 n",
    ]


def test_a_report_of_a_pass_that_ended_too_early() -> None:
    history, reading = History([vmas("ab"), vmas("a"), vmas("ab")]), read(["a"], 2, 2)
    (violation,) = judge(history, reading).violations
    assert told(violation, reading, history)[1:5] == [
        "lines shown:",
        "  00000000-00000001 a  (read 0)",
        "> the end",
        "what stood from 00000000 to 00000002:",
    ]


def test_a_report_of_a_long_window_leaves_the_middle_out() -> None:
    history = History([vmas("ab"), vmas("cb")] * 100)
    reading = Reading([Fill([vma("z")], 0, 199)])
    (violation,) = judge(history, reading).violations
    text = told(violation, reading, history)
    assert "  state 0:" in text
    assert "  ..." in text
    assert text[-2:] == ["  state 199:", "    00000000-00000001 c"]
    assert len(text) < 50
