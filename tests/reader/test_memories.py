"""The memory of all processes in a /proc that has only a few, in every state."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import untorn
from tests.helpers.commanded import Commanded
from tests.helpers.smaps_records import records
from tests.helpers.tasks import wait_until
from tests.helpers.this_machine import by_frames, counts_pages
from untorn.reader import memories as module
from untorn.reader.access import limit
from untorn.reader.access.gentle import Holds
from untorn.reader.access.limit import memory_timeout
from untorn.reader.memories import memories
from untorn.reader.memory.facts import swap_used
from untorn.reader.memory.memory import Amounts, How
from untorn.reader.memory.rollup import read_rollup
from untorn.reader.page_walk import walk_ns

pytestmark = pytest.mark.live
COUNT = 1e-9
"""Seconds of a hold so short that pages are counted, and smaps is not read."""


@pytest.fixture(scope="module")
def children() -> Iterator[list[Commanded]]:
    with Commanded() as one, Commanded() as two:
        two.do("at = place(512); put(at, 512); ctypes.memset(at, 1, 300 << 12)")
        yield [one, two]


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc without processes."""
    for name in "self", "meminfo":
        (tmp_path / name).symlink_to(f"/proc/{name}")
    return tmp_path


def add(proc: Path, pid: int) -> None:
    (proc / str(pid)).symlink_to(f"/proc/{pid}")


def rollup_of(pid: int) -> dict[str, int]:
    (record,) = records(Path(f"/proc/{pid}/smaps_rollup").read_bytes())
    return {name: int(number) << 10 for name, number in record.fields.items()}


def is_as_told(amounts: Amounts, told: dict[str, int]) -> bool:
    """Whether it equals smaps_rollup, which may drop the fraction of a kB."""
    assert amounts.pss is not None
    return (
        amounts.rss == told["Rss"]
        and amounts.private == told["Private_Clean"] + told["Private_Dirty"]
        and amounts.shared == told["Shared_Clean"] + told["Shared_Dirty"]
        and amounts.anonymous == told["Anonymous"]
        and 0 <= amounts.pss - told["Pss"] < 1024
    )


def assert_as_told(proc: Path, pid: int, how: How, max_hold: float) -> None:
    """Look until no process that shares files with this one came or went meanwhile."""

    def is_right() -> bool:
        told = rollup_of(pid)
        found = {each.pid: each for each in memories(proc=str(proc), max_hold=max_hold).found}[pid]
        assert found.how == how
        assert found.longest_hold_ns > 0
        return is_as_told(found.amounts, told)

    wait_until(is_right, "the sums are those of smaps_rollup")


def test_small_processes_are_told_by_smaps_rollup(proc: Path, children: list[Commanded]) -> None:
    for child in children:
        add(proc, child.pid)
    for child in children:
        assert_as_told(proc, child.pid, How.SMAPS, 60)
    found = memories(proc=str(proc), max_hold=60)
    assert [each.pid for each in found.found] == sorted(child.pid for child in children)
    assert not found.unread
    assert {each.command for each in found.found} == {
        Path(f"/proc/{child.pid}/comm").read_bytes().strip() for child in children
    }


@by_frames
def test_large_processes_are_counted(proc: Path, children: list[Commanded]) -> None:
    for child in children:
        add(proc, child.pid)
    for child in children:
        assert_as_told(proc, child.pid, How.PAGEMAP, COUNT)


def test_what_has_no_memory_is_left_out(proc: Path, children: list[Commanded]) -> None:
    with Commanded() as child:
        add(proc, child.pid)
        add(proc, children[0].pid)
        if Path("/proc/2").exists():
            add(proc, 2)
        (proc / "123456789").symlink_to("/proc/123456789")  # that process is gone
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        found = memories(proc=str(proc))
    assert [each.pid for each in found.found] == [children[0].pid]
    assert not found.unread


def test_a_process_without_its_main_thread_is_counted(proc: Path) -> None:
    with Commanded(leaderless=True) as child:
        add(proc, child.pid)
        wait_until(lambda: not child.maps(), "the main thread has ended")
        (found,) = memories(proc=str(proc)).found
    assert (found.pid, bool(found.amounts.rss)) == (child.pid, True)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(errno.EACCES, "no right to read"), (errno.ETIMEDOUT, "not read in time")],
)
def test_what_may_not_be_read_is_counted(
    proc: Path,
    children: list[Commanded],
    monkeypatch: pytest.MonkeyPatch,
    error: int,
    reason: str,
) -> None:
    refused, read = (child.pid for child in children)
    for pid in refused, read:
        add(proc, pid)

    def refuse(pid: int, *others: object) -> object:
        if pid == refused:
            raise OSError(error, os.strerror(error))
        return read_rollup(pid, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "read_rollup", refuse)
    found = memories(proc=str(proc))
    assert [each.pid for each in found.found] == [read]
    assert [each.reason for each in found.unread] == [reason]


def test_who_is_stuck_is_left_behind(proc: Path, children: list[Commanded]) -> None:
    stuck = proc / "42"
    stuck.mkdir()
    os.mkfifo(stuck / "status")
    add(proc, children[0].pid)
    try:
        found = memories(proc=str(proc))
        assert [each.pid for each in found.found] == [children[0].pid]
        assert [(each.pid, each.reason) for each in found.unread] == [(42, "not read in time")]
    finally:
        os.close(os.open(stuck / "status", os.O_RDWR | os.O_NONBLOCK))


@counts_pages
def test_with_little_time_large_processes_are_estimated(
    proc: Path, children: list[Commanded]
) -> None:
    for child in children:
        add(proc, child.pid)
    found = memories(proc=str(proc), max_hold=COUNT, within=1e-6)
    assert [each.pid for each in found.found] == sorted(child.pid for child in children)
    for each in found.found:
        assert each.how in (How.NOTHING, How.SAMPLE, How.PAGEMAP)
        assert each.amounts.rss or each.amounts.bounds["rss"]


def test_without_a_procfs_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        memories(proc=str(tmp_path))


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_time_is_more_than_nothing(proc: Path, seconds: float) -> None:
    with pytest.raises(ValueError, match="must be more than 0"):
        memories(proc=str(proc), max_hold=seconds)
    with pytest.raises(ValueError, match="must be more than 0"):
        memories(proc=str(proc), within=seconds)


def test_of_a_rollup_there_is_nothing_where_it_could_take_too_long(
    children: list[Commanded],
) -> None:
    holds = Holds(gentle=False)
    _, sizes, amounts = read_rollup(children[0].pid, "/proc", holds, COUNT)
    assert sizes
    assert sizes["VmRSS"] > 0
    assert amounts is None
    assert holds.longest_ns == 0


def test_a_process_that_is_named_and_has_no_memory_is_told(children: list[Commanded]) -> None:
    with Commanded() as gone:
        gone.reap()
    found = memories([children[0].pid, gone.pid, children[0].pid])
    assert [each.pid for each in found.found] == [children[0].pid]
    ((pid, error, is_gone),) = found.unread
    assert (pid, error.errno, is_gone) == (gone.pid, errno.ENOENT, True)  # type: ignore[union-attr]
    assert found.unread[0].reason == "no memory"


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.EIO, "Input/output error"), (errno.ENOMEM, "Cannot allocate memory")],
)
def test_an_error_of_the_kernel_is_told_as_it_is(
    children: list[Commanded], monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    def fail(*arguments: object) -> object:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, "read_rollup", fail)
    (unread,) = memories([children[0].pid]).unread
    assert (unread.reason, unread.gone) == (reason, False)


def test_who_may_open_no_more_files_is_told_at_once(
    children: list[Commanded], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> object:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(module, "read_rollup", fail)
    with pytest.raises(OSError, match="Too many open files"):
        memories([child.pid for child in children])


def test_a_process_with_many_tables_and_few_pages_is_not_small(children: list[Commanded]) -> None:
    pid = children[0].pid
    with Commanded() as child:
        child.do(
            "at = place(1 << 18); put(at, 1 << 18);"
            " libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(1 << 30), 15);"  # no huge pages
            "[ctypes.c_char.from_address(at + each).value for each in range(0, 1 << 30, 1 << 21)]"
        )  # one zero page in each of some 512 tables
        holds = Holds(gentle=False)
        _, small, _ = read_rollup(pid, "/proc", holds, 60)
        _, sizes, _ = read_rollup(child.pid, "/proc", holds, 60)
        assert small
        assert sizes
        assert sizes["VmPTE"] >= small["VmPTE"] + 500 * 4096
        between = (walk_ns(small) + walk_ns(sizes)) / 2 / 1e9
        assert read_rollup(pid, "/proc", holds, between).amounts
        assert not read_rollup(child.pid, "/proc", holds, between).amounts


@pytest.mark.skipif(os.path.ismount("/proc/meminfo"), reason="meminfo is made up")
def test_swap_in_use_is_what_the_machine_tells() -> None:
    with Path("/proc/meminfo").open() as lines:
        told = {
            name: int(rest.split()[0]) << 10 for name, rest in (line.split(":") for line in lines)
        }
    assert (swap_used() > 0) == (told["SwapTotal"] > told["SwapFree"])


def test_a_look_at_memory_may_take_longer_the_more_there_is() -> None:
    two_tebibytes = memory_timeout(1 << 32)
    assert two_tebibytes > 2 * memory_timeout(1 << 30) > 2 * memory_timeout(0)


@pytest.mark.parametrize("times", [{"within": 0.1}, {"timeout": 0.1}])
def test_a_look_at_one_that_is_stuck_ends(proc: Path, times: dict[str, float]) -> None:
    stuck = proc / "42"
    stuck.mkdir()
    os.mkfifo(stuck / "stat")
    os.mkfifo(stuck / "maps")
    try:
        with pytest.raises(TimeoutError, match="not read within"):
            untorn.memory(42, proc=str(proc), **times)  # type: ignore[arg-type]
    finally:
        for name in "stat", "maps":
            os.close(os.open(stuck / name, os.O_RDWR | os.O_NONBLOCK))
        wait_until(lambda: not limit._left_behind, "the look that was left behind is over")
