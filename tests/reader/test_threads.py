"""A process whose main thread has ended is read through another one, as long as one lives."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import untorn
from tests.helpers.commanded import Commanded
from tests.helpers.repository import UNTORN
from tests.helpers.tasks import wait_until
from tests.helpers.this_machine import asks
from untorn import stale as survey
from untorn.reader.access.reach import Reach
from untorn.reader.access.task import Thread, living_threads, status_of

pytestmark = pytest.mark.live
HAND_OVER = "threading.Thread(target=obey).start(); print(flush=True); libc.syscall(60, 0)"
"""The obeying thread lets another one obey, and ends."""
SECOND = "gate = threading.Event(); second = threading.Thread(target=gate.wait); second.start()"


@pytest.fixture
def leaderless() -> Iterator[Commanded]:
    with Commanded(leaderless=True) as child:
        wait_until(lambda: is_zombie(child.pid), "the main thread has ended")
        yield child


def is_zombie(pid: int) -> bool:
    status = status_of(f"/proc/{pid}")
    return status is not None and status.dead


def maps_by_thread(child: Commanded) -> bytes:
    """The maps through the obeying thread."""
    tid = child.do("print(threading.get_native_id())")
    return Path(f"/proc/{child.pid}/task/{tid}/maps").read_bytes()


def program_of(maps: untorn.LiveMaps) -> int:
    """Return where the first file is mapped: without the GIL, Python has an arena below it."""
    return next(entry.start for entry in maps.snapshot() if entry.has_file)


@pytest.mark.parametrize("ioctl", [True, False])
def test_its_map_is_that_of_its_threads(leaderless: Commanded, ioctl: bool) -> None:
    text = maps_by_thread(leaderless)
    assert Path(f"/proc/{leaderless.pid}/maps").read_bytes() == b""
    with untorn.open_maps(leaderless.pid, ioctl=ioctl) as maps:
        taken = maps.snapshot()
        assert b"".join(entry.line() for entry in taken) == text
        first = maps.query(0, next=True)
        assert first.entry.start == taken.start[0]
        program = program_of(maps)
        location = maps.locate(program)
        assert location.path
        assert Path(os.fsdecode(location.path)).samefile(sys.executable)
        assert maps.is_file(program, sys.executable)
        assert maps.details(program, max_hold=60).flags
    assert untorn.snapshot(leaderless.pid) == taken


def test_commands_read_it(leaderless: Commanded) -> None:
    text = maps_by_thread(leaderless)
    pid = str(leaderless.pid)
    done = subprocess.run([*UNTORN, "maps", pid], capture_output=True, check=True)
    assert done.stdout == text
    done = subprocess.run([*UNTORN, "query", pid, "0", "--next"], capture_output=True, check=True)
    assert done.stdout == text.splitlines(keepends=True)[0]


@asks
def test_the_thread_is_chosen_again_when_it_ends(leaderless: Commanded) -> None:
    with untorn.open_maps(leaderless.pid) as maps:
        for _ in range(5):
            maps.query(0, next=True)
            leaderless.do(HAND_OVER)
            assert b"".join(e.line() for e in maps.snapshot()) == maps_by_thread(leaderless)


def test_without_the_ioctl_another_thread_is_chosen_that_was_there_before(
    leaderless: Commanded,
) -> None:
    leaderless.do(SECOND)
    with untorn.open_maps(leaderless.pid, ioctl=False) as maps:
        before = maps.snapshot()
        hand_over(leaderless)
        assert [e.line() for e in maps.snapshot()] == maps_by_thread(leaderless).splitlines(
            keepends=True
        )
        assert before.start[0] == maps.query(0, next=True).entry.start
        leaderless.do("gate.set(); second.join()")
        hand_over(leaderless)
        # The living threads could belong to another program whose main thread has ended as well.
        with pytest.raises(ProcessLookupError, match="the threads by which it was read have ended"):
            maps.snapshot()


def hand_over(child: Commanded) -> None:
    """Let another thread obey; return when the previous one has ended."""
    old = int(child.do("print(threading.get_native_id())"))
    child.do(HAND_OVER)
    wait_until(lambda: old not in threads_of(child), "the thread has ended")


def threads_of(child: Commanded) -> list[int]:
    return [each.tid for each in living_threads(child.pid, "/proc")]


@asks
def test_threads_are_listed_again_if_all_that_were_listed_have_ended(
    leaderless: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[list[Thread]] = []
    others = Reach.others

    def late(reach: Reach) -> list[Thread]:
        listed.append(others(reach))
        if len(listed) < 4:
            hand_over(leaderless)
        return listed[-1]

    monkeypatch.setattr(Reach, "others", late)
    with untorn.open_maps(leaderless.pid) as maps:
        assert b"".join(e.line() for e in maps.snapshot()) == maps_by_thread(leaderless)
    assert len(listed) == 4


@asks
def test_details_and_files_are_those_of_a_living_thread(leaderless: Commanded) -> None:
    with untorn.open_maps(leaderless.pid) as maps:
        program = program_of(maps)
        for _ in range(3):
            hand_over(leaderless)
            assert maps.details(program, max_hold=60).flags
            hand_over(leaderless)
            assert maps.locate(program).path


def test_watch_goes_on_until_the_last_thread_ends(leaderless: Commanded) -> None:
    command = [*UNTORN, "watch", str(leaderless.pid), "--interval", "0.01"]
    at = leaderless.hole(4)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        told = map(json.loads, watcher.stdout or ())
        assert next(told)["kind"] == "first"
        leaderless.do("put(at, 4)")
        assert next(each for each in told if each["start"] == at)["kind"] == "mapped"
        leaderless.tell("libc.syscall(60, 0)")
        assert list(told)[-1]["kind"] == "ended"
        assert watcher.wait() == 0


def test_a_process_that_has_ended_is_a_zombie() -> None:
    with Commanded(leaderless=True) as child:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(ProcessLookupError, match="a zombie has no memory"):
            untorn.snapshot(child.pid)


def test_a_program_that_replaced_another_is_not_taken_for_it(leaderless: Commanded) -> None:
    with untorn.open_maps(leaderless.pid) as maps:
        before = maps.snapshot()
        leaderless.tell("os.execv('/bin/sleep', ['sleep', '100'])")
        # Check the name: the thread becomes the main one before it has another memory.
        name = Path(f"/proc/{leaderless.pid}/comm")
        wait_until(lambda: name.read_text() == "sleep\n", "the program is another one")
        with pytest.raises(ProcessLookupError, match="its program was replaced"):
            maps.query(0, next=True)
    after = untorn.snapshot(leaderless.pid)
    assert not set(before.start.tolist()) & set(after.start.tolist()) - {0xFFFF_FFFF_FF60_0000}


def test_deleted_files_are_found_by_a_living_thread(leaderless: Commanded, tmp_path: Path) -> None:
    file = tmp_path / "library"
    file.write_bytes(bytes(4096))
    at = leaderless.hole(1)
    leaderless.do(f"put(at, 1, 1, 2, os.open({str(file)!r}, 0))")
    file.unlink()
    found = [each for each in survey().found if each.pid == leaderless.pid]
    assert [each.name for each in found] == [os.fsencode(file)]
    assert at
