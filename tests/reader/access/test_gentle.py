"""Gentle reading: which calls are raised, to which priority, and what they read."""

import os
import warnings
from fcntl import ioctl
from functools import partial

import pytest

from tests.helpers.commanded import Commanded
from tests.helpers.nobody import as_nobody
from untorn.reader.access import gentle
from untorn.reader.access.budget import Budget
from untorn.reader.access.gentle import GentleMapsFile, open_maps_file
from untorn.reader.access.kernel_locks import takes_mmap_lock
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.access.pace import Pace
from untorn.reader.access.priority import FIFO, NotRaisedWarning, Raise, Steps, find_raise
from untorn.releases.release import running_release

pytestmark = pytest.mark.live
PAGE = 4096


class Witness:
    """Stands in for the raise: records what is called between raise and restore."""

    def __init__(self) -> None:
        self.raised, self.raises = False, 0

    def prepare(self) -> Steps:
        give_back = partial(self._set, False)
        return Steps(partial(self._set, True), give_back, give_back)

    def _set(self, raised: bool) -> None:
        self.raised = raised
        self.raises += raised


@pytest.fixture
def witness(monkeypatch: pytest.MonkeyPatch) -> Witness:
    witness = Witness()
    monkeypatch.setattr(gentle, "find_raise", lambda: Raise("witness", witness.prepare))
    return witness


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The release of the kernel, which a test may replace."""
    told, real = [os.uname().release], os.uname()
    monkeypatch.setattr(
        os,
        "uname",
        lambda: os.uname_result((real[0], real[1], told[0], real[3], real[4])),
    )
    return told


def read_all(file: LiveMapsFile) -> list[bytes]:
    return list(iter(lambda: file.read(1 << 20), b""))


def test_the_text_is_what_a_plain_reader_gets(witness: Witness) -> None:
    # The maps of an idle process: our own may change while we read them.
    with Commanded() as child, LiveMapsFile(child.pid) as plain, GentleMapsFile(child.pid) as file:
        assert b"".join(read_all(file)) == b"".join(read_all(plain))


def test_each_raise_is_for_one_fill(witness: Witness) -> None:
    with GentleMapsFile(os.getpid(), "smaps", pace=Pace(1)) as file:
        fills = read_all(file)
    assert witness.raises == len(fills) + 1  # and the one that found the end
    assert max(map(len, fills)) < 2 * PAGE
    assert not witness.raised


def test_the_priority_is_given_back_before_the_text_is_returned(witness: Witness) -> None:
    with GentleMapsFile(os.getpid()) as file:
        while file.read(PAGE):
            assert not witness.raised


def test_a_read_that_fails_gives_the_priority_back(witness: Witness) -> None:
    file = GentleMapsFile(os.getpid())
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.read(PAGE)
    assert (witness.raises, witness.raised) == (1, False)


def test_the_thread_itself_is_at_its_own_priority_between_reads() -> None:
    before = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotRaisedWarning)
        file = GentleMapsFile(os.getpid())
    with file:
        while file.read(PAGE):
            assert (os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)) == before


def test_a_query_is_raised_too(witness: Witness) -> None:
    with GentleMapsFile(os.getpid()) as file:
        try:
            vma = file.query(0, next=True).entry
        except OSError as error:
            pytest.skip(f"no PROCMAP_QUERY: {error}")
    assert vma.end > vma.start
    assert (witness.raises, witness.raised) == (1, False)


def test_calls_are_made_at_the_pace(witness: Witness) -> None:
    pauses: list[float] = []
    ticks = iter(range(0, 10**12, 10**9))
    pace = Pace(0.5, clock=lambda: 0, cpu_clock=lambda: next(ticks), sleep=pauses.append)
    with GentleMapsFile(os.getpid(), pace=pace) as file:
        file.read(PAGE)
        assert pauses == []
        file.read(PAGE)
    assert pauses == [2.0]


def test_gentle_calls_are_paid_of_the_budget(witness: Witness) -> None:
    waits: list[float] = []
    budget = Budget(1, 1, 0, clock=lambda: 0, sleep=waits.append)
    with GentleMapsFile(os.getpid(), "smaps", pace=Pace(1), budget=budget) as file:
        file.read(PAGE)
        assert waits == []
        file.read(PAGE)
    assert waits == [1.0]
    assert budget.spent.holds == 2


@pytest.mark.parametrize(
    ("kernel", "file", "calls"),
    [
        ("6.12.1", "maps", {os.read, ioctl}),
        ("6.17.1", "maps", {ioctl}),
        ("6.18.1", "maps", None),
        ("6.18.1", "smaps", {os.read}),
        ("7.1.3", "smaps", {os.read}),
        ("7.2.0", "smaps", None),
    ],
)
def test_what_takes_mmap_lock_is_read_gently_by_itself(
    kernel: str, file: str, calls: set[object] | None, release: list[str], witness: Witness
) -> None:
    release[0] = kernel
    with open_maps_file(os.getpid(), file) as opened:
        if calls is None:
            assert type(opened) is LiveMapsFile
        else:
            assert isinstance(opened, GentleMapsFile)
            assert opened._calls == calls


@pytest.mark.parametrize("kernel", ["6.12.1", "7.2.0"])
def test_it_can_be_forced_and_forbidden(kernel: str, release: list[str], witness: Witness) -> None:
    release[0] = kernel
    for gentle_or_not in (True, False):
        with open_maps_file(os.getpid(), gentle=gentle_or_not) as opened:
            opened.read(PAGE)
            assert isinstance(opened, GentleMapsFile) == gentle_or_not
    assert witness.raises == 1


def test_a_read_that_is_not_gentle_is_not_raised(release: list[str], witness: Witness) -> None:
    release[0] = "6.17.1"
    with open_maps_file(os.getpid()) as opened:
        opened.read(PAGE)
    assert witness.raises == 0


def test_the_release_of_this_kernel_decides() -> None:
    assert takes_mmap_lock("maps") is (running_release() < (6, 17))


def test_without_the_right_it_is_said_once_and_read_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gentle, "find_raise", lambda: None)
    gentle._warn.cache_clear()
    with pytest.warns(NotRaisedWarning, match="CAP_SYS_NICE, RLIMIT_RTPRIO or RLIMIT_NICE") as said:
        file = GentleMapsFile(os.getpid())
    assert said[0].filename == __file__  # the line that asked, not one of ours
    with file, GentleMapsFile(os.getpid()) as second:  # warnings are errors here
        assert file.read(PAGE).splitlines()[0] == second.read(PAGE).splitlines()[0]


def test_a_right_given_up_later_is_said_once_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise PermissionError

    monkeypatch.setattr(
        gentle, "find_raise", lambda: Raise("lost", lambda: Steps(refuse, int, int))
    )
    gentle._warn.cache_clear()
    with LiveMapsFile(os.getpid()) as plain, GentleMapsFile(os.getpid()) as file:
        with pytest.warns(NotRaisedWarning):
            first = file.read(PAGE)
        assert first.splitlines()[0] == plain.read(PAGE).splitlines()[0]
        assert file.read(PAGE)


def test_a_user_without_rights_reads_and_is_told() -> None:
    code = """
import warnings
with warnings.catch_warnings(record=True, action="always") as said:
    for _ in range(2):
        with GentleMapsFile("self") as file:
            print(file.read(4096).count(b"-") > 0)
print(len(said), os.sched_getscheduler(0), os.nice(0))
"""
    assert as_nobody(0, 0, code).splitlines() == ["True", "True", "1 0 0"]


def test_the_raise_is_real_where_it_is_allowed() -> None:
    way = find_raise()
    if way is not FIFO:
        pytest.skip("this user may not raise a thread to SCHED_FIFO")
    change = way.prepare()
    assert change
    assert gentle._raised(change, partial(os.sched_getscheduler, 0)) & os.SCHED_FIFO
    assert not os.sched_getscheduler(0) & os.SCHED_FIFO
