"""No look at a process waits for ever: neither for its files nor for its locks."""

import _thread
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import untorn
from tests.helpers.commanded import Commanded
from tests.helpers.repository import UNTORN
from tests.helpers.silent_fuse import SilentFuse
from tests.helpers.tasks import wait_until
from untorn import stale as survey
from untorn.reader.access import limit
from untorn.reader.access.limit import check_time, half_the_time, within, within_half

pytestmark = pytest.mark.live
LIMIT = 60.0
"""Seconds after which something counts as hung."""


@pytest.fixture
def mapped_on_fuse(tmp_path: Path) -> Iterator[tuple[Commanded, int]]:
    """A process that maps a file, and where; the file's server no longer answers."""
    folder = tmp_path / "silent"
    folder.mkdir()
    try:
        fuse = SilentFuse(folder, Path(sys.executable).resolve())
    except OSError as error:
        pytest.skip(f"no FUSE file system can be mounted here: {error}")
    with Commanded() as child, fuse:  # the server ends first: the child waits for it at its end
        at = child.hole(4)
        child.do(f"put(at, 4, 1, 1, os.open({str(fuse.file)!r}, 0))")
        child.do("ctypes.string_at(at, 1)")
        fuse.fall_silent()
        yield child, at


def test_a_file_whose_server_is_silent_is_left_alone(
    mapped_on_fuse: tuple[Commanded, int],
) -> None:
    child, at = mapped_on_fuse
    for ioctl in True, False:
        with untorn.open_maps(child.pid, ioctl=ioctl) as maps:
            vma = maps.query(at, build_id=True)
            assert (vma.entry.start, vma.entry.name[-5:]) == (at, b"/file")
            assert vma.build_id_absent.startswith("its file system is fuse.silent, which may wait")
            assert maps.locate(at).absent["path"] == vma.build_id_absent
            assert maps.details(at, max_hold=60).flags
    survey()
    for command in ("maps", str(child.pid)), ("query", str(child.pid), f"{at:x}", "--json"):
        done = subprocess.run([*UNTORN, *command], capture_output=True, timeout=LIMIT, check=False)
        assert done.returncode == 0


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Path]:
    """A /proc whose only process blocks every opener of its maps."""
    for folder in "42", "self":
        (tmp_path / folder).mkdir()
    os.mkfifo(tmp_path / "42/maps")
    yield tmp_path
    # Release those that still wait, in this process.
    os.close(os.open(tmp_path / "42/maps", os.O_RDWR | os.O_NONBLOCK))


LOOKS: dict[str, Callable[[str], object]] = {
    "snapshot": lambda proc: untorn.snapshot(42, proc=proc, timeout=0.05),
    "open_maps": lambda proc: untorn.open_maps(42, proc=proc, timeout=0.05),
    "locate": lambda proc: untorn.locate(42, 0, proc=proc, timeout=0.05),
    "watch": lambda proc: next(untorn.watch(42, proc=proc, timeout=0.05)),
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_that_takes_too_long_is_an_error(stuck: Path, name: str) -> None:
    with pytest.raises(TimeoutError, match=r"not read within 0\.05 s") as caught:
        LOOKS[name](str(stuck))
    assert caught.value.errno == errno.ETIMEDOUT
    assert caught.value.filename == f"{stuck}/42/maps"


@pytest.mark.parametrize("command", [["maps", "42"], ["query", "42", "0"], ["watch", "42"]])
def test_a_command_that_takes_too_long_ends_with_one_line(stuck: Path, command: list[str]) -> None:
    done = subprocess.run(
        [*UNTORN, *command, "--proc", str(stuck), "--timeout", "0.05"],
        capture_output=True,
        timeout=LIMIT,
        text=True,
        check=False,
    )
    line = f"Error: {stuck}/42/maps: not read within 0.05 s, which is the limit\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


def test_who_is_stuck_is_counted_among_the_unread(stuck: Path) -> None:
    seen = survey(str(stuck), 0.05)
    assert (seen.read, seen.found, dict(seen.unread)) == (0, [], {"not read in time": 1})


def test_a_large_map_is_not_read_past_the_limit() -> None:
    with Commanded() as child:
        child.place(20_000)
        child.do("for n in range(10000): put(at + (n << 13), 1)")
        with pytest.raises(TimeoutError):
            untorn.snapshot(child.pid, timeout=1e-6)
        with untorn.open_maps(child.pid, timeout=LIMIT) as maps:
            assert len(maps.snapshot()) > 10_000


def test_no_limit_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a limit was set")

    monkeypatch.setattr(limit, "_in_time", refuse)
    pid = os.getpid()
    first = int(untorn.snapshot(pid, timeout=None).start[0])
    untorn.locate(pid, first, timeout=None, build_id=True)
    next(untorn.watch(pid, timeout=None))
    untorn.stale(timeout=None)
    with untorn.open_maps(pid, timeout=None) as maps:
        maps.query(first, build_id=True)
        maps.details(first)
        maps.is_file(first, sys.executable)


@pytest.mark.parametrize("name", ["stat", "task", "self/status"])
@pytest.mark.parametrize("look", LOOKS)
def test_no_file_of_a_process_is_waited_for(tmp_path: Path, name: str, look: str) -> None:
    """If maps can be read but shows nothing, other files say why."""
    for folder in "42", "self":
        (tmp_path / folder).mkdir()
    (tmp_path / "42/maps").touch()
    (tmp_path / "self/status").write_text("NSpid:\t1\n")
    place = tmp_path / (name if name.startswith("self") else f"42/{name}")
    place.unlink(missing_ok=True)
    os.mkfifo(place)
    with suppress(TimeoutError, ProcessLookupError):  # what needs none of these is not late
        LOOKS[look](str(tmp_path))
    os.close(os.open(place, os.O_RDWR | os.O_NONBLOCK))


def test_maps_are_closed_after_a_look_that_was_late() -> None:
    with untorn.open_maps(os.getpid(), timeout=LIMIT) as maps:
        maps.query(0, next=True)
        maps._timeout = 1e-9
        with pytest.raises(TimeoutError):
            maps.snapshot()
        for look in maps.snapshot, lambda: maps.query(0, next=True), lambda: maps.read(1):
            with pytest.raises(OSError, match="Bad file descriptor"):
                look()


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_limit_is_more_than_nothing(seconds: float) -> None:
    for look in untorn.snapshot, untorn.open_maps:
        with pytest.raises(ValueError, match="it must be more than 0"):
            look(os.getpid(), timeout=seconds)


def test_a_look_left_behind_cleans_up_once_it_is_over() -> None:
    gate, cleaned = threading.Event(), threading.Event()
    with pytest.raises(TimeoutError):
        within(0.01, gate.wait, "x", cleaned.set)
    assert not cleaned.is_set()
    gate.set()
    assert cleaned.wait(LIMIT)


def test_a_look_that_is_late_by_itself_cleans_up_too() -> None:
    cleaned = threading.Event()
    with pytest.raises(TimeoutError):
        within(LIMIT, be_late, "x", cleaned.set)
    assert cleaned.is_set()


@pytest.mark.parametrize("seconds", [LIMIT, None])
def test_a_late_look_within_another_cleans_up_too(seconds: float | None) -> None:
    cleaned = threading.Event()
    with pytest.raises(TimeoutError):
        within(LIMIT, lambda: within(seconds, be_late, "x", cleaned.set), "x")
    assert cleaned.is_set()


def be_late() -> None:
    raise TimeoutError


def test_who_looks_at_what_does_not_answer_gets_no_more_looks() -> None:
    gate = threading.Event()
    wait_until(lambda: not limit._left_behind, "looks left behind by other tests have ended")
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        gate.wait()

    try:
        for _ in range(2 * limit._MOST_LEFT):
            with pytest.raises(TimeoutError):
                within(1e-4, look, "x")
        wait_until(lambda: len(looks) == limit._MOST_LEFT, "the looks that were begun wait")
    finally:
        gate.set()
    wait_until(lambda: not limit._left_behind, "all have ended")
    assert within(LIMIT, lambda: 1, "x") == 1


def test_a_look_within_a_look_has_the_time_of_the_outer_one() -> None:
    def look() -> tuple[float | None, float | None, int]:
        inner = within(2 * LIMIT, lambda: limit._limit.deadline, "x")
        return limit._limit.deadline, inner, threading.get_ident()

    outer, inner, thread = within(LIMIT, look, "x")
    assert outer == inner is not None
    assert thread != threading.get_ident()
    assert within(None, look, "x")[0] is None


def test_half_of_the_time_is_that_of_what_is_left() -> None:
    def look() -> tuple[float, float, float]:
        with half_the_time():
            soft = limit._limit.deadline
        hard = within_half(lambda: limit._limit.deadline, "x")
        whole = limit._limit.deadline
        assert soft
        assert hard
        assert whole
        return soft, hard, whole

    began = time.monotonic()
    soft, hard, whole = within(LIMIT, look, "x")
    for half in soft, hard:
        assert began + LIMIT / 2 <= half <= whole - LIMIT / 4
    with half_the_time():
        check_time("x")
    assert within_half(lambda: limit._limit.deadline, "x") is None


def test_a_look_is_made_with_the_priority_and_on_the_processors_of_its_caller() -> None:
    def state() -> tuple[int, set[int]]:
        return os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0)

    def in_a_thread_of_its_own() -> None:
        within(LIMIT, state, "x")
        os.setpriority(os.PRIO_PROCESS, 0, 19)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        seen.append((state(), within(LIMIT, state, "x")))

    seen: list[tuple[object, object]] = []
    thread = threading.Thread(target=in_a_thread_of_its_own)
    thread.start()
    thread.join()
    assert seen[0][0] == seen[0][1]


def test_where_no_thread_can_be_had_the_caller_looks_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(function: object, arguments: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    assert within(LIMIT, threading.get_ident, "x") == threading.get_ident()
    assert within(LIMIT, lambda: limit._limit.deadline, "x")
    assert limit._limit.deadline is None
    with pytest.raises(TimeoutError):
        untorn.snapshot(os.getpid(), timeout=1e-9)


def test_no_thread_is_left_after_a_look() -> None:
    code = (
        "import os, untorn\n"
        "for _ in range(50): untorn.snapshot(os.getpid())\n"
        "child = os.fork()\n"  # Python 3.12 warns if there is another thread
        "if not child: os._exit(len(untorn.snapshot(os.getpid(), timeout=60)) == 0)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=LIMIT, check=False).returncode == 0


def test_a_look_has_all_the_time_it_needs_without_a_limit() -> None:
    began = time.monotonic()
    assert within(None, lambda: limit._limit.deadline, "x") is None
    far = within(1e300, lambda: limit._limit.deadline, "x")
    assert far
    assert far > began


@pytest.mark.parametrize("over", [True, False])
def test_a_look_that_ctrl_c_ended_cleans_up(monkeypatch: pytest.MonkeyPatch, over: bool) -> None:
    gate, made, cleaned = threading.Event(), threading.Event(), threading.Event()
    allocate = _thread.allocate_lock

    class Interrupted:
        def __init__(self) -> None:
            self.lock = allocate()
            self.release = self.lock.release

        def acquire(self, timeout: float = -1) -> bool:
            if not self.lock.locked():
                return self.lock.acquire()
            if over:
                gate.set()
                self.lock.acquire()
            raise KeyboardInterrupt

    def make() -> None:
        gate.wait()
        made.set()

    monkeypatch.setattr(_thread, "allocate_lock", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        within(LIMIT, make, "x", cleaned.set)
    monkeypatch.undo()
    assert made.is_set() == cleaned.is_set() == over
    gate.set()
    assert cleaned.wait(LIMIT)
