"""No look at a process waits for ever: neither for its files nor for its locks."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import untorn
from commanded import Commanded
from processes import wait_until
from silent_fuse import SilentFuse
from untorn.live.reader.limit import within
from untorn.live.reader.stale import survey

pytestmark = pytest.mark.live
UNTORN = [sys.executable, "-m", "untorn"]
LIMIT = 60.0
"""Seconds after which something is taken to hang."""


@pytest.fixture
def mapped_on_fuse(tmp_path: Path) -> Iterator[tuple[Commanded, int]]:
    """A process that maps a file, and where; the file's server does not answer any more."""
    folder = tmp_path / "silent"
    folder.mkdir()
    try:
        fuse = SilentFuse(folder, Path(sys.executable).resolve())
    except OSError as error:
        pytest.skip(f"no FUSE file system can be mounted here: {error}")
    with Commanded() as child, fuse:  # the server goes first: the child waits for it when it ends
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
            assert (vma.start, vma.name[-5:]) == (at, b"/file")
            assert vma.build_id_absent.startswith("its file system is fuse.silent, which may wait")
            assert maps.locate(at).absent["path"] == vma.build_id_absent
            assert maps.details(at, max_hold=60).flags
    survey()
    for command in ("maps", str(child.pid)), ("query", str(child.pid), f"{at:x}", "--json"):
        done = subprocess.run([*UNTORN, *command], capture_output=True, timeout=LIMIT, check=False)
        assert done.returncode == 0


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Path]:
    """A /proc whose only process shows its maps to nobody: whoever opens them waits."""
    (tmp_path / "42").mkdir()
    os.mkfifo(tmp_path / "42/maps")
    yield tmp_path
    # Whoever still waits, in this process, is let go.
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


def test_maps_are_closed_after_a_look_that_was_late() -> None:
    with untorn.open_maps(os.getpid(), timeout=LIMIT) as maps:
        maps.query(0, next=True)
        maps._timeout = 1e-9
        with pytest.raises(TimeoutError):
            maps.snapshot()
        for look in maps.snapshot, lambda: maps.query(0, next=True), lambda: maps.read(1):
            with pytest.raises(OSError, match="Bad file descriptor"):
                look()


def test_a_look_left_behind_cleans_up_once_it_is_over() -> None:
    gate, cleaned = threading.Event(), threading.Event()
    with pytest.raises(TimeoutError):
        within(0.01, lambda deadline: gate.wait(), "x", cleaned.set)
    assert not cleaned.is_set()
    gate.set()
    assert cleaned.wait(LIMIT)


def test_a_look_that_is_late_by_itself_cleans_up_too() -> None:
    cleaned = threading.Event()

    def late(deadline: float | None) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        within(LIMIT, late, "x", cleaned.set)
    assert cleaned.is_set()


@pytest.mark.parametrize("seconds", [LIMIT, None])
def test_a_late_look_within_another_cleans_up_too(seconds: float | None) -> None:
    cleaned = threading.Event()

    def late(deadline: float | None) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        within(LIMIT, lambda _: within(seconds, late, "x", cleaned.set), "x")
    assert cleaned.is_set()


def test_a_look_within_a_look_has_the_time_of_the_outer_one() -> None:
    def look(deadline: float | None) -> tuple[float | None, float | None, int]:
        inner = within(1e-9, lambda deadline: deadline, "x")
        return deadline, inner, threading.get_ident()

    outer, inner, thread = within(LIMIT, look, "x")
    assert outer == inner
    assert thread != threading.get_ident()
    assert within(None, look, "x")[0] is None


def test_threads_are_used_again_and_end_when_idle() -> None:
    threads = {within(LIMIT, lambda _: threading.current_thread(), "x") for _ in range(20)}
    assert len(threads) < 20
    wait_until(lambda: not any(thread.is_alive() for thread in threads), "idle threads end")


def test_a_child_that_was_forked_makes_looks_of_its_own() -> None:
    within(LIMIT, lambda _: None, "x")
    code = (
        "import os, sys, warnings, untorn\n"
        "warnings.simplefilter('ignore')\n"
        "untorn.snapshot(os.getpid())\n"
        "child = os.fork()\n"
        "if not child: os._exit(len(untorn.snapshot(os.getpid(), timeout=60)) == 0)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=LIMIT, check=False).returncode == 0


def test_a_look_has_all_the_time_it_needs_without_a_limit() -> None:
    began = time.monotonic()
    assert within(None, lambda deadline: deadline, "x") is None
    assert within(1e300, lambda deadline: deadline, "x") > began
