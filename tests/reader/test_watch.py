"""Watching a process that does what it is told."""

import os
import time
from pathlib import Path

import pytest

import untorn
from tests.helpers.commanded import Commanded
from tests.helpers.tasks import wait_until
from untorn.reader import watch as watching
from untorn.reader.access.task import start_time
from untorn.reader.diff import Change

pytestmark = pytest.mark.live
SOON = 0.001


def told(changes: list[Change], at: int) -> list[str]:
    """Return changes as kinds and pages from `at` on."""
    return [f"{c.kind} {c.start - at >> 12}-{c.end - at >> 12}" for c in changes]


def test_what_a_process_does_is_told() -> None:
    with Commanded() as child:
        at = child.hole(8)
        looks = untorn.watch(child.pid, interval=SOON)
        assert next(looks).changes == []
        assert next(looks).changes == []
        for line, change in [
            ("put(at, 4)", "mapped 0-4"),
            ("libc.mprotect(at + 4096, 4096, 1)", "protected 1-2"),
            ("libc.mprotect(at + 4096, 4096, 3)", "protected 1-2"),
            ("put(at + (4 << 12), 2)", "grown 4-6"),
            ("libc.munmap(at, 4096)", "shrunk 0-1"),
            ("put(at + 4096, 1, 1, 2, os.open(sys.executable, 0))", "replaced 1-2"),
            ("libc.munmap(at, 8 << 12)", "unmapped 1-6"),
        ]:
            child.do(line)
            look = next(looks)
            inside = [c for c in look.changes if at <= c.start < at + (8 << 12)]
            if line.startswith("libc.munmap(at, 8"):
                assert {c.kind for c in inside} == {"unmapped"}
            else:
                assert told(inside, at) == [change], line
            assert look.snapshot == untorn.snapshot(child.pid)
        looks.close()


def test_it_ends_with_the_process_and_does_not_wait_for_the_interval() -> None:
    with Commanded() as child:
        looks = untorn.watch(child.pid, interval=1000)
        next(looks)
        child.kill()
        assert list(looks) == []


def test_another_process_with_the_same_number_is_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Commanded() as child:
        looks = untorn.watch(child.pid, interval=SOON)
        next(looks)
        monkeypatch.setattr(watching, "start_time", lambda pid, proc: 1)
        assert list(looks) == []


def test_a_new_program_is_told_as_a_change_of_everything() -> None:
    with Commanded() as child:
        looks = untorn.watch(child.pid, interval=SOON)
        before = next(looks).snapshot
        child.tell("os.execv('/bin/sleep', ['sleep', '100'])")
        maps = Path(f"/proc/{child.pid}/maps")
        wait_until(lambda: b"/libc" in maps.read_bytes() and b"python" not in maps.read_bytes(), "")
        look = next(looks)
        while b"sleep" not in b"".join(look.snapshot.names):
            look = next(looks)
        names = [name for name in before.names if b"python" in name]
        gone = {c.before.name for c in look.changes if c.before}
        assert set(names) <= gone
        looks.close()


def test_who_cannot_be_read_cannot_be_watched() -> None:
    with Commanded() as child:
        child.reap()
        with pytest.raises(FileNotFoundError):
            next(untorn.watch(child.pid))


def test_a_process_without_a_descriptor_to_wait_on_is_looked_at_in_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "same_pids", lambda proc: False)
    with Commanded() as child:
        looks = untorn.watch(child.pid, interval=0.05)
        next(looks)
        began = time.monotonic()
        next(looks)
        assert time.monotonic() - began > 0.04
        child.reap()
        assert list(looks) == []


def test_a_process_has_one_start_time() -> None:
    first = start_time(os.getpid(), "/proc")
    assert first
    assert start_time(os.getpid(), "/proc") == first
    with Commanded() as child:
        later = start_time(child.pid, "/proc")
        assert later
        assert later >= first
        child.reap()
        assert start_time(child.pid, "/proc") is None
