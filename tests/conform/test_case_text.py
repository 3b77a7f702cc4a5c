"""Files of cases: what they mean, what is wrong with them, and which expectations are unmet."""

import re

import pytest

from tests.conform.engine_alone import engine_alone
from untorn.conform.answer import Answer
from untorn.conform.case import Case
from untorn.conform.case_text import parse_cases, parse_script
from untorn.conform.operation import Operation
from untorn.mm.limits import Limits
from untorn.releases.changes import MSEAL
from untorn.releases.release import LAST, Release

PRELUDE = """
RW = PROT_READ | PROT_WRITE
ANON = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
at = 0x200000000000
"""


def unmet(text: str) -> str:
    """Return what the first case of a file finds unmet on the engine."""
    (case,) = parse_cases(PRELUDE + "case made up\n" + text)
    side = engine_alone(LAST, Limits())
    found = (
        expected(Answer(side.do(operation), side.maps(), side.counts()))
        for operation, expected in case.play()
    )
    return next(filter(None, found), "")


def test_labels_are_what_calls_returned_and_names_what_they_stand_for() -> None:
    assert not unmet(
        """
        a = mmap(at, 3*PAGE, RW, ANON, -1, 0) -> at
        last = a + 2*PAGE
        mmap(last, PAGE, PROT_NONE, ANON, -1, 0) -> a + 0x2000
        a: 2 rw-p, 1 ---p, 1 .
        """
    )


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("munmap(at + 1, PAGE)", "line 7: success"),
        ("munmap(at, PAGE) -> EINVAL", "line 7: -> EINVAL"),
        ("munmap(at + 1, PAGE) -> ENOMEM", "line 7: -> ENOMEM"),
        ("munmap(at, PAGE)\nat: 1 rw-p", "line 7: at: 1 rw-p; not 1 ."),
        ("mlock2(at, PAGE, 0)\nlocked_vm: 2", "line 7: locked_vm: 2; not 1"),
    ],
)
def test_what_does_not_come_out_so_is_told_with_its_line(lines: str, told: str) -> None:
    assert unmet(f"mmap(at, PAGE, RW, ANON, -1, 0)\n{lines}") == told


@pytest.mark.parametrize(
    ("shown", "good"),
    [
        ("at: 2 rw-p", True),
        ("at: 1 rw-p", False),
        ("at: 3 rw-p", False),
        ("at: 1 rw-p, 1 rw-p", False),
        ("at: 2 r--p", False),
        ("at: 2 rw-p, 1 ., 2 r--s @3", True),
        ("at: 2 rw-p, 1 ., 2 r--s", True),
        ("at: 2 rw-p, 1 ., 2 r--s @4", False),
        ("at: 2 rw-p, 2 ., 1 r--s @3", False),
        ("at - PAGE: 1 ., 2 rw-p, 1 .", True),
        ("at + PAGE: 2 rw-p", False),
        ("at + 2*PAGE: 1 .", True),
        ("at + 2*PAGE: 2 .", False),
    ],
)
def test_maps_show_just_what_is_said(shown: str, good: bool) -> None:
    lines = f"""
        mmap(at, 2*PAGE, RW, ANON, -1, 0)
        mmap(at + 3*PAGE, 2*PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, ONE, 3*PAGE)
        {shown}
        """
    assert (not unmet(lines)) == good


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mmap(0)", "line 1: mmap has 6 arguments, 'mmap(0)' has not"),
        ("\nmunmap(a, PAGE)", "line 2: a is not known"),
        ("fly()", "line 1: 'fly()' is no operation"),
        ("brk(0) -> EWHAT", "line 1: EWHAT is not known"),
        ("brk(0) ->", "line 1: there is nothing after the arrow"),
        ("brk(", "line 1: 'brk(' means nothing"),
        ("brk(1.5)", "line 1: '1.5' is no number"),
        ("a = brk(0)\na = brk(0)", "line 2: a is already defined"),
        ("PAGE = 3", "line 1: PAGE is already defined"),
        ("x, y = 3", "line 1: 'x, y = 3' is no call"),
        ("0: 1 rw-p", "line 1: there is no call before this outcome"),
        ("brk(0)\n0: 0 rw-p", "line 2: '0 rw-p' is nothing that maps could show"),
        ("brk(0)\n0: 1 rw", "line 2: '1 rw' is nothing that maps could show"),
        ("case of nothing\n", "nothing is called in case of nothing"),
        ("since then", "line 1: 'then' is no release, and no change of one"),
        ("-" * 50_000 + "1", "means nothing"),
    ],
)
def test_what_means_nothing_is_refused_with_its_line(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_cases(text)


def test_a_case_is_of_the_releases_that_it_says() -> None:
    (case,) = parse_cases("case new\nsince MSEAL\nuntil 7.1\nfrom a.c: b\nbrk(0)")
    assert (case.title, case.source) == ("new", "a.c: b")
    assert (case.since, case.until) == (MSEAL, Release(7, 1))
    assert [case.holds_for(Release(*r)) for r in ((6, 9), (6, 10), (7, 0), (7, 1))] == [
        False,
        True,
        True,
        False,
    ]
    assert Case().holds_for(Release(6, 1))


def test_a_label_of_a_case_is_unknown_to_the_next() -> None:
    with pytest.raises(ValueError, match="line 4: a is not known"):
        parse_cases("case one\na = brk(0)\ncase two\nbrk(a)")


def test_a_script_without_a_case_expects_nothing_that_it_does_not_say() -> None:
    (case,) = parse_cases("munmap(1, 1)")
    assert [expected(Answer(-22, b"", {})) for _, expected in case.play()] == [""]
    assert parse_script("munmap(1, 1)") == [Operation("munmap", (1, 1))]


def test_a_case_ends_where_a_call_is_left_out() -> None:
    (case,) = parse_cases("case made up\na = brk(0)\nbrk(a)")
    assert len(list(case.play())) == 1
