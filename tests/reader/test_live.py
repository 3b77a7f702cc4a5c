"""Snapshots and queries of real processes, against the kernel's own text and ioctl."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import untorn
from tests.helpers.commanded import Commanded
from tests.helpers.nobody import BECOME_NOBODY, as_root
from tests.helpers.tasks import wait_until
from tests.helpers.this_machine import NO_QUERY, asks
from untorn.maps.fields import Permissions
from untorn.maps.procmap_query import ProcmapQuery, QueriedVma
from untorn.reader.access.idleness import Idleness, find_idleness
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.live_maps import LiveMaps

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def process() -> Iterator[Commanded]:
    with Commanded() as child:
        yield child


@pytest.mark.parametrize("vmas", [0, 1000])
def test_a_snapshot_of_a_still_process_is_its_text(vmas: int) -> None:
    with Commanded() as child:
        child.place(2 * vmas)
        child.do(f"for n in range({vmas}): put(at + (n << 13), 1)")
        taken = untorn.snapshot(child.pid)
        assert b"".join(entry.line() for entry in taken) == child.maps()
        assert len(taken) > vmas
        again = untorn.snapshot(child.pid, previous=taken)
        assert again == taken
        assert again.columns is taken.columns
        child.do("put(at - 4096, 1, 1)")
        assert (
            b"".join(e.line() for e in untorn.snapshot(child.pid, previous=taken)) == child.maps()
        )


def test_nothing_is_checked_while_the_process_sleeps() -> None:
    with Commanded() as child:
        child.place(4000)
        child.do("for n in range(2000): put(at + (n << 13), 1)")
        wait_until(Idleness(child.pid, "/proc").slept, "the child sleeps")
        coherence = untorn.snapshot(child.pid).coherence
    assert coherence.fills == coherence.quiet_fills > 8
    assert coherence.checked_holes == 0


@pytest.mark.parametrize("others", [0, 3])
def test_a_process_of_which_a_thread_runs_is_never_said_to_sleep(others: int) -> None:
    # Its CPU time stays the same from tick to tick.
    with Commanded() as child:
        child.do("import threading")
        child.do("gate = threading.Event()")
        child.do(f"for n in range({others}): threading.Thread(target=gate.wait).start()")
        child.tell("while True: pass")
        time_of = Path(f"/proc/{child.pid}/task/{child.pid}/schedstat").read_text
        before = time_of()
        wait_until(lambda: time_of() > before, "the child runs")
        idleness = Idleness(child.pid, "/proc")
        for _ in range(500):
            idleness.start()
            assert not idleness.slept()


@pytest.mark.parametrize("pages", [4, 2000])
def test_holes_are_checked_while_the_process_runs(pages: int) -> None:
    with Commanded() as child:
        child.place(2 * pages)
        child.do(f"for n in range({pages}): put(at + (n << 13), 1)")
        child.tell("while True: pass")
        wait_until(lambda: not Idleness(child.pid, "/proc").slept(), "the child runs")
        taken = untorn.snapshot(child.pid)
        holes = sum(taken.start[1:] > taken.end[:-1])
    assert taken.coherence.quiet_fills == 0
    assert taken.coherence.checked_holes in (holes, holes + 1) or NO_QUERY
    assert taken.coherence.false_gaps == 0


def test_of_itself_every_hole_is_checked() -> None:
    taken = untorn.snapshot(os.getpid())
    assert taken.coherence.quiet_fills == 0
    assert taken.find(id(taken)) is not None


HOW = st.fixed_dictionaries(
    {
        "next": st.booleans(),
        "file_backed": st.booleans(),
        "permissions": st.integers(0, 15).map(Permissions),
        "name": st.booleans(),
        "build_id": st.booleans(),
    }
)
KINDS = [("ANON", "-1"), ("SHARED | 0x20", "-1"), ("2", "os.open(sys.executable, 0)")]
PLACED = st.tuples(
    st.integers(0, 60), st.integers(1, 4), st.sampled_from([0, 1, 3, 5]), st.sampled_from(KINDS)
)
ASKED = st.tuples(st.integers(0, 1 << 20), st.sampled_from([-1, 0, 1, 4096]), HOW)


@asks
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(placed=st.lists(PLACED, max_size=5), asked=st.lists(ASKED, min_size=5, max_size=15))
def test_the_text_answers_as_the_ioctl_does(
    process: Commanded, placed: list[Any], asked: list[Any]
) -> None:
    at = process.place(64)
    for first, pages, prot, (flags, fd) in placed:
        process.do(f"put({at + (first << 12)}, {pages}, {prot}, {flags}, {fd})")
    with LiveMaps(process.pid) as by_ioctl, LiveMaps(process.pid, ioctl=False) as by_text:
        snapshot = by_text.snapshot()
        edges = [*snapshot.start.tolist(), *snapshot.end.tolist()]
        for number, offset, how in asked:
            addr = max(edges[number % len(edges)] + offset, 0)
            assert answer(by_ioctl, addr, how) == answer(by_text, addr, how), (hex(addr), how)
    process.do("put(at, 64, 0)")


def answer(maps: LiveMaps, addr: int, how: dict[str, Any]) -> QueriedVma | int | None:
    try:
        return maps.query(addr, **how)
    except OSError as error:
        return error.errno


@asks
def test_a_walk_by_text_meets_what_a_walk_by_the_ioctl_meets(process: Commanded) -> None:
    walks = []
    for ioctl in True, False:
        with LiveMaps(process.pid, ioctl=ioctl) as maps:
            found, addr = [], 0
            while not isinstance(vma := answer(maps, addr, {"next": True, "build_id": True}), int):
                assert vma
                found.append(vma)
                addr = vma.entry.end
        walks.append(found)
    assert walks[0] == walks[1]
    assert any(vma.build_id for vma in walks[0])


@asks
def test_only_the_ioctl_tells_a_newline_from_what_it_is_shown_as(
    process: Commanded, tmp_path: Path
) -> None:
    names = [tmp_path / "a\nb", tmp_path / r"a\012b"]
    at = process.place(4)
    for page, name in enumerate(names):
        name.write_bytes(bytes(4096))
        process.do(f"put({at + (page << 13)}, 1, 1, 2, os.open({str(name)!r}, 0))")
    addrs = at, at + (1 << 13)
    with LiveMaps(process.pid) as by_ioctl, LiveMaps(process.pid, ioctl=False) as by_text:
        assert [by_ioctl.query(addr).entry.name for addr in addrs] == [
            os.fsencode(n) for n in names
        ]
        assert [by_text.query(addr).entry.name for addr in addrs] == [os.fsencode(names[0])] * 2


def test_a_kernel_without_the_ioctl_is_asked_once(
    process: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(*arguments: object, **options: object) -> QueriedVma:
        asked.append(arguments)
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))

    with LiveMaps(process.pid, ioctl=False) as by_text:
        expected = by_text.query(0, next=True)
    monkeypatch.setattr(LiveMapsFile, "procmap_query", refuse)
    with LiveMaps(process.pid) as maps:
        assert maps.query(0, next=True) == maps.query(0, next=True) == expected
    assert len(asked) == 1


@pytest.mark.parametrize("ioctl", [True, False])
def test_a_zombie_has_no_map(ioctl: bool) -> None:
    with Commanded() as child, LiveMaps(child.pid, ioctl=ioctl) as maps:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # now it is a zombie
        for look in maps.snapshot, lambda: maps.query(0, next=True):
            with pytest.raises(ProcessLookupError, match="a zombie has no memory"):
                look()
        with pytest.raises(ProcessLookupError, match="a zombie has no memory"):
            untorn.snapshot(child.pid)


@pytest.mark.parametrize("ioctl", [True, False])
def test_a_process_that_is_gone_has_no_map(ioctl: bool) -> None:
    with Commanded() as child, LiveMaps(child.pid, ioctl=ioctl) as maps:
        child.reap()
        with pytest.raises(ProcessLookupError, match="ended while it was read"):
            maps.snapshot()
        with pytest.raises(FileNotFoundError, match=str(child.pid)):
            untorn.snapshot(child.pid)


def test_a_kernel_thread_has_no_map() -> None:
    if not Path("/proc/2/maps").exists():
        pytest.skip("no kernel threads in this PID namespace")
    if os.geteuid():
        pytest.skip("only root may open the maps of a kernel thread")
    with pytest.raises(ProcessLookupError, match="a kernel thread has no memory"):
        untorn.snapshot(2)


@as_root
def test_what_may_not_be_read_is_said(process: Commanded) -> None:
    code = (
        "import os, untorn; untorn.snapshot(os.getpid())\n"
        f"{BECOME_NOBODY}\n"
        f"untorn.snapshot({process.pid})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "PermissionError: [Errno 13] Permission denied: '/proc/" in done.stderr


def test_a_program_that_replaces_itself_is_never_mixed_with_the_next() -> None:
    with Commanded() as child, LiveMaps(child.pid) as maps:
        before = maps.snapshot()
        maps.seek(0)
        maps.read(1)
        child.tell("os.execv('/bin/sleep', ['sleep', '100'])")
        wait_until(lambda: b"/sleep" in child.maps(), "the program is another one")
        with pytest.raises(ProcessLookupError, match="its program was replaced"):
            maps.snapshot(before)
        after = untorn.snapshot(child.pid, previous=before)
    assert not {name for name in after.names if b"python" in name}


def test_a_thread_is_read_as_its_process_and_always_checked(process: Commanded) -> None:
    process.do("import threading; gate = threading.Event()")
    tid = int(process.do("t = threading.Thread(target=gate.wait); t.start(); print(t.native_id)"))
    taken = untorn.snapshot(tid)
    assert find_idleness(tid, "/proc") is None
    assert taken.coherence.quiet_fills == 0
    assert taken == untorn.snapshot(process.pid)
    process.do("gate.set(); t.join()")


def test_numbers_of_another_procfs_are_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / str(os.getpid())).mkdir()
    assert find_idleness(os.getpid(), "/proc")
    assert find_idleness(os.getpid(), str(tmp_path)) is None
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text("Name:\tx\nNSpid:\t100\t1\n")
    assert find_idleness(os.getpid(), str(tmp_path)) is None


def test_a_process_of_which_a_thread_ended_is_not_said_to_have_slept() -> None:
    with Commanded() as child:
        child.do("import threading; gate = threading.Event()")
        child.do("t = threading.Thread(target=gate.wait); t.start()")
        idleness = Idleness(child.pid, "/proc")
        child.do("gate.set(); t.join()")
        assert not idleness.slept()
        wait_until(idleness.slept, "the child sleeps")


def test_what_is_mapped_all_the_time_is_in_every_snapshot() -> None:
    with Commanded() as child:
        at = child.place(3)
        child.do("put(at, 3)")
        child.tell(
            "while True: libc.mprotect(at + 4096, 4096, 1); libc.mprotect(at + 4096, 4096, 3)"
        )
        for _ in range(300):
            taken = untorn.snapshot(child.pid)
            around = taken.between(at, at + (3 << 12))
            assert sum(vma.end - vma.start for vma in around) == 3 << 12
            assert (taken.start[1:] >= taken.end[:-1]).all()


@pytest.mark.parametrize("ioctl", [True, False])
def test_an_unknown_flag_is_refused(process: Commanded, ioctl: bool) -> None:
    with LiveMaps(process.pid, ioctl=ioctl) as maps:
        with pytest.raises(OSError, match="Invalid argument"):
            maps.procmap_query(ProcmapQuery(query_flags=0x40))
        assert repr(maps).startswith(f"<LiveMaps of {process.pid}: <")
        assert "MapsFile fd " in repr(maps)
    assert "MapsFile closed" in repr(maps)
