"""A look at the memory of a process that does something in the middle of it."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import untorn
from tests.helpers.commanded import Commanded
from tests.helpers.nobody import BECOME_NOBODY, as_root
from tests.helpers.populated import Populated
from tests.helpers.regions import SLOT
from tests.helpers.tasks import wait_until
from tests.helpers.this_machine import counts_pages
from untorn.reader.access.pagemap import LivePagemap
from untorn.reader.memory.memory import How, Memory

pytestmark = [pytest.mark.live, counts_pages]
COUNT = 1e-9
"""Seconds of a hold so short that pages are counted, and smaps is not read."""
PAGES = 64
Hook = Callable[[int, Callable[[], object]], None]


@pytest.fixture
def process() -> Iterator[Commanded]:
    with Commanded() as child:
        child.do(f"at = place({4 * PAGES})")
        child.do(f"put(at, {PAGES}); ctypes.memset(at, 1, {PAGES} << 12)")
        yield child


@pytest.fixture
def at_read(monkeypatch: pytest.MonkeyPatch) -> Hook:
    """Do something after the read() of pagemap with this number, the first being 1."""
    read_at = LivePagemap.read_at

    def hook(number: int, act: Callable[[], object]) -> None:
        reads = 0

        def counted(pagemap: LivePagemap, offset: int, size: int) -> bytes:
            nonlocal reads
            text, reads = read_at(pagemap, offset, size), reads + 1
            if reads == number:
                act()
            return text

        monkeypatch.setattr(LivePagemap, "read_at", counted)

    return hook


def reads_of(look: Callable[[], Memory]) -> int:
    """Return how often a look reads pagemap."""
    reads = 0
    read_at = LivePagemap.read_at

    def counted(pagemap: LivePagemap, offset: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        return read_at(pagemap, offset, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LivePagemap, "read_at", counted)
        look()
    return reads


def look(child: Commanded) -> Memory:
    return untorn.memory(child.pid, max_hold=COUNT)


def lines(memory: Memory) -> bytes:
    return b"".join(vma.line() for vma in memory)


def at_of(child: Commanded) -> int:
    return int(child.do("print(at)"))


@pytest.mark.parametrize("when", ["first", "last"])
def test_what_is_mapped_meanwhile_is_counted_and_told(
    process: Commanded, at_read: Hook, when: str
) -> None:
    at = at_of(process)
    new = at + (2 * PAGES << 12)
    number = 1 if when == "first" else reads_of(partial(look, process))
    at_read(number, lambda: process.do(f"put({new}, 8); ctypes.memset({new}, 1, 3 << 12)"))
    memory = look(process)
    assert lines(memory) == process.maps()
    (row,) = (memory.start == new).nonzero()[0].tolist()
    assert memory.rss is not None
    assert memory.rss[row] == 3 << 12
    assert memory.changed[row]
    assert (memory.how[row], memory.estimated) == (How.PAGEMAP, False)
    assert any(change.start == new for change in memory.changes)
    (old,) = (memory.start == at).nonzero()[0].tolist()
    assert not memory.changed[old]
    assert memory.rss[old] == PAGES << 12


def test_vmas_may_be_shown_as_they_were_found_whatever_happens_to_them(
    process: Commanded, at_read: Hook
) -> None:
    at, before = at_of(process), process.maps()
    half = PAGES // 2 << 12
    at_read(1, lambda: process.do(f"libc.munmap({at}, {half})"))
    with untorn.open_maps(process.pid) as maps:
        memory = maps.memory(max_hold=60, counted=True)
    assert lines(memory) == before
    assert set(memory.how) == {How.PAGEMAP}
    (row,) = (memory.start == at).nonzero()[0].tolist()
    assert memory.rss is not None
    assert memory.rss[row] in (half, PAGES << 12)


def test_what_is_unmapped_meanwhile_is_not_told_but_as_a_change(
    process: Commanded, at_read: Hook
) -> None:
    at = at_of(process)
    half = PAGES // 2 << 12
    at_read(1, lambda: process.do(f"libc.munmap({at}, {half})"))
    memory = look(process)
    assert lines(memory) == process.maps()
    (row,) = (memory.start == at + half).nonzero()[0].tolist()
    assert memory.rss is not None
    assert memory.rss[row] == half
    assert memory.changed[row]
    assert memory.changes


def test_a_vma_that_changes_each_time_is_not_known(
    process: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = process.place(1000)
    process.do("put(at, 1000)")
    pages = iter(range(999, 0, -1))
    read_at = LivePagemap.read_at

    def changing(pagemap: LivePagemap, offset: int, size: int) -> bytes:
        process.do(f"libc.munmap({at} + ({next(pages)} << 12), 4096)")
        return read_at(pagemap, offset, size)

    monkeypatch.setattr(LivePagemap, "read_at", changing)
    memory = look(process)
    assert lines(memory) == process.maps()
    (row,) = (memory.start == at).nonzero()[0].tolist()
    assert memory.how[row] == How.NOTHING
    assert memory.rss is None
    assert memory.total.rss is None
    least, most = memory.bounds("rss") or ([], [])
    assert memory.size is not None
    assert (least[row], most[row]) == (0, memory.size[row])


def test_a_fork_meanwhile_changes_shares_and_no_sum(at_read: Hook) -> None:
    with Populated(["dense"]) as process:
        at_read(1, process.fork)
        memory = look(process)
        assert lines(memory) == process.maps()
        (row,) = (memory.start == process.at["dense"]).nonzero()[0].tolist()
    rss, private, shared = memory.rss, memory.private, memory.shared
    assert rss is not None
    assert private is not None
    assert shared is not None
    assert rss[row] == private[row] + shared[row] == SLOT


def test_of_a_process_that_ends_meanwhile_nothing_is_told(
    process: Commanded, at_read: Hook
) -> None:
    def end() -> None:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    at_read(2, end)
    with pytest.raises(ProcessLookupError, match="a zombie has no memory"):
        look(process)
    with pytest.raises(ProcessLookupError, match="a zombie has no memory"):
        look(process)


def test_of_a_process_that_is_gone_nothing_is_told(process: Commanded, at_read: Hook) -> None:
    with untorn.open_maps(process.pid) as maps:
        at_read(2, process.reap)
        with pytest.raises(ProcessLookupError, match="ended while it was read"):
            maps.memory(max_hold=COUNT)
    with pytest.raises(FileNotFoundError):
        look(process)


@pytest.mark.parametrize("max_hold", [60, COUNT])
def test_a_process_that_takes_the_number_of_another_is_not_mixed_with_it(
    process: Commanded, at_read: Hook, tmp_path: Path, max_hold: float
) -> None:
    for name in "self", "meminfo":
        (tmp_path / name).symlink_to(f"/proc/{name}")
    number = tmp_path / "42"
    number.symlink_to(f"/proc/{process.pid}")
    with Commanded() as other, untorn.open_maps(42, proc=str(tmp_path)) as maps:

        def take() -> None:
            process.reap()
            number.unlink()
            number.symlink_to(f"/proc/{other.pid}")

        at_read(2, take)
        memory = untorn.memory(42, proc=str(tmp_path), max_hold=COUNT)
        assert lines(memory) == other.maps()
        assert not memory.changed.any()
        with pytest.raises(ProcessLookupError):
            maps.memory(max_hold=max_hold)


REPLACE = "os.execv(sys.executable, [sys.executable, '-c', {!r}])".format(
    "import os, signal; os.write(1, b'\\n'); signal.pause()"
)
"""The program execs another one, which changes nothing once it has printed a line."""


def test_of_a_program_that_replaces_another_all_is_told(process: Commanded, at_read: Hook) -> None:
    at_read(2, lambda: process.do(REPLACE))
    memory = look(process)
    assert lines(memory) == process.maps()
    assert not memory.changed.any()
    assert memory.changes == ()


def test_open_maps_do_not_tell_of_the_next_program(process: Commanded, at_read: Hook) -> None:
    at_read(2, lambda: process.do(REPLACE))
    with (
        untorn.open_maps(process.pid) as maps,
        pytest.raises(ProcessLookupError, match="its program was replaced"),
    ):
        maps.memory(max_hold=COUNT)


@pytest.mark.parametrize("max_hold", [60, COUNT])
def test_a_process_without_its_main_thread_is_counted_by_another(max_hold: float) -> None:
    with Commanded(leaderless=True) as child:
        wait_until(lambda: not child.maps(), "the main thread has ended")
        memory = untorn.memory(child.pid, max_hold=max_hold)
        tid = child.do("print(threading.get_native_id())")
        text = Path(f"/proc/{child.pid}/task/{tid}/maps").read_bytes()
    assert lines(memory) == text
    assert memory.total.rss


def test_it_is_counted_on_by_another_thread_when_one_ends(at_read: Hook) -> None:
    hand_over = "threading.Thread(target=obey).start(); print(flush=True); libc.syscall(60, 0)"
    with Commanded(leaderless=True) as child:
        wait_until(lambda: not child.maps(), "the main thread has ended")
        tid = child.do("print(threading.get_native_id())")
        first = [Path(f"/proc/{child.pid}/task/{tid}")]

        def end() -> None:
            child.do(hand_over)
            wait_until(lambda: not any(map(Path.exists, first)), "the thread has ended")

        at_read(2, end)
        memory = look(child)
        tid = child.do("print(threading.get_native_id())")
        text = Path(f"/proc/{child.pid}/task/{tid}/maps").read_bytes()
    assert lines(memory) == text
    assert memory.total.rss


def test_a_kernel_thread_has_no_memory() -> None:
    if not Path("/proc/2/maps").exists() or os.geteuid():
        pytest.skip("no kernel threads, or no right to open their maps")
    with pytest.raises(ProcessLookupError, match="a kernel thread has no memory"):
        untorn.memory(2)


@as_root
def test_without_the_right_to_look_it_is_refused(process: Commanded) -> None:
    code = (
        f"import os, untorn; untorn.memory(os.getpid())\n{BECOME_NOBODY}\n"
        f"untorn.memory({process.pid})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "PermissionError: [Errno 13] Permission denied: '/proc/" in done.stderr


@pytest.mark.parametrize("max_hold", [60, COUNT])
def test_a_look_that_is_late_is_an_error(process: Commanded, max_hold: float) -> None:
    with pytest.raises(TimeoutError) as caught:
        untorn.memory(process.pid, max_hold=max_hold, timeout=1e-6)
    assert caught.value.errno == errno.ETIMEDOUT


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
@pytest.mark.parametrize("name", ["max_hold", "within", "timeout"])
def test_a_time_is_more_than_nothing(process: Commanded, name: str, seconds: float) -> None:
    times: dict[str, Any] = {name: seconds}
    with pytest.raises(ValueError, match="must be more than 0"):
        untorn.memory(process.pid, **times)
