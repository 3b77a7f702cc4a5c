"""The cases of other people's suites, on the engine and on the running kernel."""

from collections.abc import Iterator

import pytest

from tests.helpers.this_machine import or_skip
from untorn.conform.case import Case
from untorn.conform.case_text import parse_cases
from untorn.conform.engine_side import EngineSide
from untorn.conform.files import FDS, FILE_PAGES
from untorn.conform.pair import Answer, Pair
from untorn.conform.report import failure_report
from untorn.conform.run import conform_case
from untorn.conform.suites import suite_names, suite_text
from untorn.fs.from_maps.address_space import mm_from_maps
from untorn.maps.page import PAGE_SIZE, TASK_SIZE
from untorn.mm.file import VmFile
from untorn.mm.limits import Limits
from untorn.releases.release import Release, modelled
from untorn.syscalls import Process

CASES = [
    pytest.param(case, id=f"{name}: {case.title}")
    for name in suite_names()
    for case in parse_cases(suite_text(name))
]
RELEASES = [modelled(None)]
PROGRAM = b"00400000-00401000 r-xp 00000000 00:01 1                                  /program\n"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with or_skip(Pair) as pair:
        yield pair


@pytest.mark.live
@pytest.mark.parametrize("case", CASES)
def test_linux_and_the_engine_do_so(case: Case, pair: Pair) -> None:
    run = conform_case(pair, case, "suite")
    if run.left_out:
        pytest.skip(", ".join(run.left_out))
    assert not run.failures, "\n".join(failure_report(run.failures[0]))


def engine(release: Release) -> EngineSide:
    mm = mm_from_maps(PROGRAM, limits=Limits(), task_size=TASK_SIZE, release=release)
    process = Process(mm)
    size = FILE_PAGES * PAGE_SIZE
    process.files = {fd: VmFile(name.encode(), size=size) for name, fd in FDS.items()}
    return EngineSide(process)


@pytest.mark.parametrize("case", CASES)
def test_the_engine_does_so_as_each_release_of_which_it_is_true(case: Case) -> None:
    for release in filter(case.holds_for, RELEASES):
        side = engine(release)
        for operation, expected in case.play():
            result = side.do(operation)
            unmet = expected(Answer(result, side.maps(), side.counts()))
            assert not unmet, f"as {release}: {unmet}"
        side.check()
