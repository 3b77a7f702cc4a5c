"""Looks at real processes, which are children of the test."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.commanded import Commanded
from tests.helpers.populated import Told
from tests.helpers.this_machine import SEES_FRAMES
from untorn.reader.access.limit import MAX_HOLD
from untorn.serve.export.groups import Groups, Others
from untorn.serve.export.process_looks import LATE, Process, ProcessLooks, Seen, Sums

pytestmark = pytest.mark.live
TINY = 1e-9
"""Seconds of a hold in which no single call can read anything."""
ROOM = 1023
"""Bytes of a share that smaps drops for each VMA."""
LOOKS = 5
"""Enough that one of them meets no other process that comes or goes."""


@pytest.fixture(scope="module")
def child() -> Iterator[Commanded]:
    with Commanded() as process:
        process.do("kept = mmap.mmap(-1, 1 << 22, mmap.MAP_PRIVATE); kept.write(bytes(1 << 21))")
        yield process


def looks(max_hold: float = MAX_HOLD) -> ProcessLooks:
    return ProcessLooks(Groups(), "/proc", max_hold)


def look(pid: int, max_hold: float = MAX_HOLD) -> Seen:
    found = looks(max_hold).look(pid, None)
    assert isinstance(found, Seen)
    return found


def check_sums(look: Callable[[], Sums | None], pid: int) -> None:
    """Check what looks find against smaps; others share its files, and come and go."""
    found = [_is_as_told(look(), Told.by(pid)) for _ in range(LOOKS)]
    assert any(found)


def _is_as_told(found: Sums | None, told: Told) -> bool:
    assert found
    sums = {name: sum(values) for name, values in told.sums.items()}
    assert (found.resident, found.swapped) == (sums["rss"], sums["swap"])
    if not SEES_FRAMES:
        return True
    assert found.proportional is not None
    difference = abs(found.proportional - sums["pss"])
    return found.unique == sums["private"] and difference <= ROOM * len(told.records)


def test_a_small_process_is_known_by_one_look(child: Commanded) -> None:
    check_sums(lambda: look(child.pid, max_hold=1).sums, child.pid)
    found = look(child.pid, max_hold=1)
    assert found.maps
    assert found.maps.vmas == len(child.maps().splitlines()) - child.maps().count(b"[vsyscall]")
    assert not found.is_large


def test_a_large_process_is_counted(child: Commanded) -> None:
    many = looks(TINY)
    found = many.look(child.pid, None)
    assert isinstance(found, Seen)
    assert found.maps
    assert found.is_large
    assert found.size >= 1 << 21

    def counted() -> Sums:
        counted = many.count(found.process)
        assert counted
        assert counted.sums
        assert counted.sums.took > 0
        return counted.sums

    check_sums(counted, child.pid)
    assert many.counting.spent.holds > 0
    assert many.time_to_count(found.process) > 1


def test_deleted_files_are_summed(child: Commanded, tmp_path: Path) -> None:
    before = look(child.pid).maps
    file = tmp_path / "library.so"
    file.write_bytes(bytes(3 << 12))
    child.do(f"at = place(3); put(at, 3, 1, 2, os.open({str(file)!r}, 0))")
    file.unlink()
    now = look(child.pid).maps
    assert before
    assert now
    assert now.deleted - before.deleted == 3 << 12


def test_a_process_that_may_have_no_more_vmas_has_as_many_as_it_may() -> None:
    limit = int(Path("/proc/sys/vm/max_map_count").read_text())
    if limit > 1 << 17:
        pytest.skip(f"vm.max_map_count is {limit}: to map so much takes too long")
    fill = (
        "made = 0\n"
        "while libc.mmap(None, 4096, 3 * (made % 2), ANON, -1, 0) != ctypes.c_void_p(-1).value:\n"
        "    made += 1\n"
    )
    with Commanded() as full:
        full.do(f"exec({fill!r})")
        maps = look(full.pid, TINY).maps
    assert maps
    assert limit <= maps.vmas <= limit + 1


def test_a_process_without_its_main_thread_is_counted() -> None:
    with Commanded(leaderless=True) as process:
        many = looks()
        found = many.look(process.pid, None)
        assert isinstance(found, Seen)
        counted = many.count(found.process)
    assert counted
    assert counted.sums
    assert counted.sums.resident


def test_what_has_no_memory_is_not_seen() -> None:
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert looks().look(zombie.pid, None) is None
    zombie.wait()
    assert looks().look(zombie.pid, None) is None


def test_a_kernel_thread_is_not_seen() -> None:
    second = Path("/proc/2/stat")
    if not (second.exists() and b"kthreadd" in second.read_bytes()):
        pytest.skip("kernel threads are not seen from here")
    assert looks().look(2, None) is None


def test_a_process_of_no_group_is_not_looked_at(child: Commanded) -> None:
    assert ProcessLooks(Groups(others=Others.NONE), "/proc", 1).look(child.pid, None) is None


def test_a_process_keeps_its_group_until_it_is_another_one(child: Commanded) -> None:
    process = look(child.pid).process
    known = process._replace(group="kept")
    for each, group in (
        (known, "kept"),
        (known._replace(name=b"other"), process.group),
        (known._replace(start_time=0), process.group),
    ):
        found = looks().look(child.pid, each)
        assert isinstance(found, Seen)
        assert found.process.group == group


def test_figures_are_not_taken_for_those_of_another_process(child: Commanded) -> None:
    earlier = Process(child.pid, 0, b"python", "python")
    assert looks().count(earlier) is None


def test_what_a_thread_is_stuck_with_is_not_looked_at_by_another(
    child: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, many = threading.Event(), threading.Event(), looks()

    def stick(*arguments: object) -> None:
        begun.set()
        assert go_on.wait(60)

    monkeypatch.setattr(many, "_process", stick)
    stuck = threading.Thread(target=many.look, args=(child.pid, None))
    stuck.start()
    assert begun.wait(60)
    with pytest.raises(TimeoutError, match=LATE):
        many.look(child.pid, None)
    go_on.set()
    stuck.join()
    assert many.look(child.pid, None) is None


def test_what_may_not_be_read_is_told(child: Commanded, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **others: object) -> None:
        raise PermissionError

    monkeypatch.setattr("untorn.serve.export.process_looks.look_at", refuse)
    found = look(child.pid)
    assert (found.unread, found.maps, found.sums) == ("no right to read", None, None)
    assert not found.is_large


def test_we_do_not_count_as_who_is_held_up() -> None:
    found = look(os.getpid())
    assert found.sums
    assert found.sums.longest_hold_ns == 0
