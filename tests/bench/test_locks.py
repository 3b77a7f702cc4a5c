"""How often a pass takes mmap_lock: counted exactly, on the engine and by tracing."""

import os
from pathlib import Path

import pytest

from tests.helpers.processes import children_of
from tests.helpers.this_machine import or_skip, two_cpus
from untorn.bench.command import EXEC
from untorn.bench.engine import EngineBenchTarget
from untorn.bench.live import LiveBenchTarget
from untorn.bench.lock_count import VMAS, map_pages
from untorn.errors import OutOfReachError
from untorn.processes import lock_trace
from untorn.processes.lock_trace import counted
from untorn.reader.access.kernel_locks import takes_mmap_lock
from untorn.syscalls import Process


def test_a_process_gets_as_many_vmas_as_are_counted() -> None:
    process = Process()
    map_pages(process, lambda: process.mm.map_count)
    assert process.mm.map_count == VMAS


@pytest.mark.parametrize("reader", ["mmap_lock", "smaps"])
def test_under_mmap_lock_every_read_takes_it_once(reader: str) -> None:
    count = EngineBenchTarget().count_locks(reader)
    assert count.acquisitions == count.calls > VMAS / 100


@pytest.mark.parametrize("reader", ["vma_lock", "rcu", "query"])
def test_under_vma_locks_nothing_takes_it(reader: str) -> None:
    count = EngineBenchTarget().count_locks(reader)
    assert (count.acquisitions, count.calls > VMAS / 100) == (0, True)


@two_cpus
@pytest.mark.live
@pytest.mark.parametrize(
    ("reader", "variant", "file"),
    [
        ("maps", "", "maps"),
        ("smaps", "", "smaps"),
        ("query", "", "PROCMAP_QUERY"),
        ("gentle", "smaps", "smaps"),
    ],
)
def test_the_running_kernel_takes_it_where_its_release_says(
    reader: str, variant: str, file: str
) -> None:
    try:
        count = LiveBenchTarget().count_locks(reader, variant)
    except OutOfReachError as error:
        pytest.skip(str(error))
    assert count.calls > VMAS / 100
    if takes_mmap_lock(file):
        # One more for the call that returns nothing; 6.12's maps also one for the last text.
        assert count.calls <= count.acquisitions <= count.calls + 3
    else:
        assert count.acquisitions == 0
    assert children_of(os.getpid()) == set()


@two_cpus
@pytest.mark.live
@pytest.mark.parametrize("reader", ["smaps_rollup", "clear_refs", "memory"])
def test_who_walks_page_tables_takes_it_on_every_kernel(reader: str) -> None:
    count = or_skip(lambda: LiveBenchTarget().count_locks(reader))
    assert count.calls == 1
    assert count.acquisitions >= 1


@two_cpus
def test_a_commands_locks_are_not_counted() -> None:
    with pytest.raises(OutOfReachError, match="command"):
        LiveBenchTarget().count_locks(EXEC, "true")


TAKEN = "  python-7 [000] ..... 1.1: mmap_lock_acquire_returned: mm={mm} memcg_path=/ {how}"


def trace_of(own: str, written: str = "6/6") -> str:
    """A trace in which other locks were taken three times, and one attempt failed."""
    taken = [
        (own, "write=true success=true"),
        (own, "write=false success=true"),
        ("0b", "write=false success=true"),
        ("0b", "write=false success=false"),
        ("0c", "write=false success=true"),
        ("0c", "write=true success=true"),
    ]
    head = f"# entries-in-buffer/entries-written: {written}   #P:2"
    return "\n".join([head, *(TAKEN.format(mm=mm, how=how) for mm, how in taken)])


@pytest.fixture
def tracefs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tracefs in which an instance is an ordinary folder."""
    (tmp_path / "instances").mkdir()
    monkeypatch.setattr(lock_trace, "_TRACEFS", tmp_path)
    return tmp_path


def count(trace: str) -> int:
    return lock_trace._count(trace)


def test_only_what_is_taken_of_others_counts() -> None:
    assert count(trace_of("0a")) == 3


def test_a_trace_that_lost_events_is_refused() -> None:
    with pytest.raises(OutOfReachError, match="lost events"):
        count(trace_of("0a", "6/7"))


def test_a_trace_that_hides_whose_lock_it_is_is_refused() -> None:
    with pytest.raises(OutOfReachError, match="does not tell one lock from another"):
        count(trace_of("(____ptrval____)"))


def test_a_kernel_without_the_tracepoint_is_told_and_no_instance_left(tracefs: Path) -> None:
    with pytest.raises(OutOfReachError, match="no tracepoints"), counted():
        pass
    assert list((tracefs / "instances").iterdir()) == []


def test_a_user_who_may_not_trace_is_told(tracefs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *arguments: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with (
        pytest.raises(OutOfReachError, match=r"no right to trace here: .*Permission denied"),
        counted(),
    ):
        pass
