"""KTAP is written as ktap.rst specifies; the parser that checks it is strict."""

import pytest

from tests.helpers.ktap_parser import KtapError, parse_ktap
from untorn.race.ktap import Ktap

EXAMPLE = """\
KTAP version 1
1..2
  KTAP version 1
  1..2
    KTAP version 1
    1..2
    not ok 1 test_1
    # why
    ok 2 test_2
  not ok 1 test_3
  ok 2 test_4 # SKIP not here
not ok 1 example_test_1
ok 2 example_test_2
# all done
"""


def test_a_document_is_written_line_by_line() -> None:
    lines: list[str] = []
    ktap = Ktap(lines.append)
    with ktap.plan(2):
        with ktap.plan(2):
            with ktap.plan(2):
                ktap.result(False, "test_1")
                ktap.note("why")
                ktap.result(True, "test_2")
            ktap.result(False, "test_3")
            ktap.result(True, "test_4", skip="not here")
        ktap.result(False, "example_test_1")
        ktap.result(True, "example_test_2")
        ktap.note("all done")
    assert "\n".join(lines) + "\n" == EXAMPLE


def test_the_parser_reads_what_is_nested() -> None:
    (first, second), notes = parse_ktap(EXAMPLE)
    assert notes == ["all done"]
    assert (first.ok, second.ok) == (False, True)
    third, fourth = first.subtests
    assert (fourth.ok, fourth.directive, fourth.reason) == (True, "SKIP", "not here")
    assert [(each.name, each.ok) for each in third.subtests] == [
        ("test_1", False),
        ("test_2", True),
    ]
    assert third.subtests[1].notes == ["why"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("KTAP version 1\n1..2\n  K", "1..2\n  K"),
        ("1..2\n  KTAP", "  KTAP"),
        ("1..2\n  KTAP", "1..3\n  KTAP"),
        ("ok 2 test_2", "ok 3 test_2"),
        ("    ok 2 test_2", "   ok 2 test_2"),
        ("  not ok 1 test_3", "  ok 1 test_3"),
        ("# SKIP", "# SKIPPED"),
        ("    # why", "    why"),
        ("ok 2 example_test_2\n", ""),
        ("# all done\n", "# all done"),
        ("# all done\n", "ok 3 one more\n"),
        ("    not ok 1 test_1\n", "    KTAP version 1\n    1..0\n"),
    ],
)
def test_the_parser_refuses_what_is_not_ktap(old: str, new: str) -> None:
    assert old in EXAMPLE
    with pytest.raises(KtapError):
        parse_ktap(EXAMPLE.replace(old, new, 1))
