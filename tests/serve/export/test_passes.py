"""Passes over the processes of an invented procfs."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.export import large, process, seen, sums
from untorn.reader.memories import Unread
from untorn.serve.export.counts import Counts
from untorn.serve.export.passes import Passes
from untorn.serve.export.process_looks import LATE, Process, Seen

LONG = 60.0


class FakeLooks:
    """Looks at processes that are directories, and counts them."""

    def __init__(self, proc: Path, *pids: int) -> None:
        self._proc = proc
        self.replaced: set[int] = set()
        self.looked: list[tuple[int, Process | None]] = []
        self.find: Callable[[int], Seen | Unread | None] = lambda pid: seen(
            pid, time=time.monotonic()
        )
        for name in ("self", "sys", *map(str, pids)):
            (proc / name).mkdir()

    @property
    def proc(self) -> str:
        return str(self._proc)

    def look(self, pid: int, known: Process | None) -> Seen | Unread | None:
        self.looked.append((pid, known))
        return self.find(pid)

    def lives(self, process: Process) -> bool:
        return process.pid not in self.replaced

    def count(self, process: Process) -> Seen | None:
        return Seen(process, sums=sums(time.monotonic(), process.pid))

    def time_to_count(self, process: Process) -> float:
        return LONG


def passes_of(looks: FakeLooks, max_age: float = 0, patience: float = LONG) -> Passes:
    return Passes(looks, Counts(looks), max_age=max_age, patience=patience)


def test_all_are_looked_at_and_known_the_next_time(tmp_path: Path) -> None:
    looks = FakeLooks(tmp_path, 1, 20, 300)
    passes = passes_of(looks)
    assert [each.process.pid for each in passes.survey().seen] == [1, 20, 300]
    assert looks.looked == [(1, None), (20, None), (300, None)]
    del looks.looked[:]
    assert passes.survey().passes == 2
    assert looks.looked == [(pid, process(pid)) for pid in (1, 20, 300)]


def test_what_is_young_enough_is_not_looked_at_again(tmp_path: Path) -> None:
    looks = FakeLooks(tmp_path, 1)
    passes = passes_of(looks, max_age=LONG)
    assert passes.survey() == passes.survey()
    assert len(looks.looked) == 1


def test_one_pass_serves_all_who_asked_before_it(tmp_path: Path) -> None:
    looks, begun, go_on = FakeLooks(tmp_path, 1), threading.Event(), threading.Event()

    def find(pid: int) -> Seen:
        begun.set()
        assert go_on.wait(LONG)
        return seen(pid)

    looks.find = find
    passes = passes_of(looks)
    threads = [threading.Thread(target=passes.survey) for _ in range(9)]
    for thread in threads:
        thread.start()
        assert begun.wait(LONG)
    while not all(thread.is_alive() for thread in threads):
        time.sleep(0.001)
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(looks.looked) <= 3  # the first, and those for requests that came after it began


def test_what_has_no_memory_is_gone_and_what_is_not_read_is_counted(tmp_path: Path) -> None:
    looks = FakeLooks(tmp_path, 1, 2, 3)
    answers: dict[int, Seen | Unread | None] = {
        1: None,
        2: Unread(2, PermissionError()),
        3: Seen(process(3), unread="changed meanwhile"),
    }
    looks.find = answers.get
    survey = passes_of(looks).survey()
    assert survey.seen == [answers[3]]
    assert survey.skipped == {"no right to read": 1, "changed meanwhile": 1}


def test_what_is_not_read_now_is_known_as_it_was(tmp_path: Path) -> None:
    looks = FakeLooks(tmp_path, 1, 2)
    passes = passes_of(looks)
    before = passes.survey().seen

    def find(pid: int) -> Seen:
        if pid == 1:
            raise TimeoutError
        return Seen(process(pid), unread="changed meanwhile")

    looks.find = find
    survey = passes.survey()
    assert survey.seen == before
    assert survey.skipped == {LATE: 1, "changed meanwhile": 1}
    looks.find = lambda pid: Seen(process(pid, "other"), unread="changed meanwhile")
    assert passes.survey().seen == [looks.find(1), looks.find(2)]


def test_what_is_not_read_now_is_not_taken_for_an_earlier_process(tmp_path: Path) -> None:
    looks = FakeLooks(tmp_path, 1)
    passes = passes_of(looks)
    passes.survey()

    def find(pid: int) -> Seen:
        raise TimeoutError

    looks.find, looks.replaced = find, {1}
    assert passes.survey().seen == []


def test_what_has_become_large_has_what_it_had_until_it_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = FakeLooks(tmp_path, 1)
    passes = passes_of(looks)
    (before,) = passes.survey().seen
    looks.find = large
    monkeypatch.setattr(looks, "count", lambda process: Seen(process, unread=LATE))
    survey = passes.survey()
    assert survey.seen == [large(1)._replace(sums=before.sums)]
    assert survey.skipped == {LATE: 1}


def test_there_are_those_first_that_were_not_seen_for_longest(tmp_path: Path) -> None:
    looks = FakeLooks(tmp_path, 1, 2, 3)
    looks.find = lambda pid: seen(pid, time={1: 3, 2: 1, 3: 2}[pid])
    passes = passes_of(looks)
    passes.survey()
    (tmp_path / "4").mkdir()
    del looks.looked[:]
    looks.find = lambda pid: None
    passes.survey()
    assert [pid for pid, _ in looks.looked] == [4, 2, 3, 1]


def test_a_pass_ends_though_a_process_is_stuck(tmp_path: Path) -> None:
    looks, go_on = FakeLooks(tmp_path, 1, 2), threading.Event()

    def find(pid: int) -> Seen:
        if pid == 1:
            assert go_on.wait(LONG)
        return seen(pid)

    looks.find = find
    survey = passes_of(looks, patience=0.2).survey()
    go_on.set()
    assert survey.skipped[LATE] >= 1
    assert process(1) not in [each.process for each in survey.seen]


def test_who_asks_during_a_pass_that_takes_too_long_is_told_what_was_known(tmp_path: Path) -> None:
    passes = passes_of(FakeLooks(tmp_path, 1), patience=0.01)
    before = passes.survey()
    with passes._passing:
        assert passes.survey() == before


def test_large_ones_are_counted(tmp_path: Path) -> None:
    looks = FakeLooks(tmp_path, 1, 2)
    looks.find = lambda pid: large(pid) if pid == 2 else seen(pid)
    small, counted = passes_of(looks).survey().seen
    assert small == seen(1)
    assert counted.sums
    assert counted.sums.resident == 2
    assert not counted._replace(sums=None).sums


def test_without_a_procfs_there_is_an_error(tmp_path: Path) -> None:
    looks = FakeLooks(tmp_path)
    (tmp_path / "self").rmdir()
    with pytest.raises(FileNotFoundError):
        passes_of(looks).survey()
