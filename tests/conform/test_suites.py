"""The cases of other people's suites, on the engine and on the running kernel."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conform.engine_alone import engine_alone
from tests.helpers.this_machine import or_skip
from untorn.conform.answer import Answer
from untorn.conform.case import Case
from untorn.conform.case_text import parse_cases
from untorn.conform.pair import Pair
from untorn.conform.report import failure_report
from untorn.conform.run import conform_case
from untorn.conform.suites import suite_names, suite_text
from untorn.mm.limits import Limits
from untorn.releases.release import LAST, Release

CASES = [
    pytest.param(case, id=f"{name}: {case.title}")
    for name in suite_names()
    for case in parse_cases(suite_text(name))
]
RELEASES = [Release(6, 1), Release(6, 12), Release(6, 16), Release(6, 18), LAST]
DOCS = Path(__file__).parents[2] / "docs" / "suites.md"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with or_skip(Pair.live) as pair:
        yield pair


@pytest.mark.live
@pytest.mark.parametrize("case", CASES)
def test_linux_and_the_engine_do_so(case: Case, pair: Pair) -> None:
    run = conform_case(pair, case, "suite")
    if run.left_out:
        pytest.skip(", ".join(run.left_out))
    assert not run.failures, "\n".join(failure_report(run.failures[0]))


@pytest.mark.parametrize("case", CASES)
def test_the_engine_does_so_as_each_release_of_which_it_is_true(case: Case) -> None:
    for release in filter(case.holds_for, RELEASES):
        side = engine_alone(release, Limits())
        for operation, expected in case.play():
            result = side.do(operation)
            unmet = expected(Answer(result, side.maps(), side.counts()))
            assert not unmet, f"as {release}: {unmet}"
        side.check()


def test_the_docs_count_what_the_files_have() -> None:
    rows = re.findall(r"^\| `(\w+)` \| \d+ \| (\d+) \| (\d+) \|", DOCS.read_text(), re.MULTILINE)
    suites = {name: parse_cases(suite_text(name)) for name in suite_names()}
    counted = {
        name: (len({case.source.partition(":")[0] for case in cases} - {""}), len(cases))
        for name, cases in suites.items()
    }
    assert {name: (int(taken), int(cases)) for name, taken, cases in rows} == counted
