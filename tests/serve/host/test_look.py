"""A look at a process finds what the kernel prints, and keeps within the allowed hold."""

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.commanded import Commanded
from tests.helpers.nobody import BECOME_NOBODY, as_root
from tests.helpers.tasks import wait_until
from tests.helpers.this_machine import counts_pages
from tests.helpers.watched import Known
from untorn.reader.access.budget import Budget
from untorn.reader.access.gentle import Holds
from untorn.reader.access.task import status_of
from untorn.reader.memory.by_smaps import read_by_walks
from untorn.reader.snapshot import Snapshot
from untorn.reader.text.parse import parse
from untorn.serve.host import look
from untorn.serve.host.look import Looker
from untorn.serve.host.watched import Kind
from untorn.serve.text.text import Text

pytestmark = pytest.mark.live
LONG, NO_TIME = 60.0, 1e-9
"""Seconds of a hold: more than any takes, and less than any."""
VMA_FILES = Kind.MAPS, Kind.SMAPS, Kind.NUMA_MAPS
has_numa = pytest.mark.skipif(
    not Path("/proc/self/numa_maps").exists(), reason="this kernel has no numa_maps"
)


def looker(max_hold: float = LONG) -> Looker:
    return Looker("/proc", max_hold, Budget(1000, 1e9))


@pytest.fixture(scope="module")
def child() -> Iterator[Commanded]:
    """A process that stands still."""
    with Commanded() as child:
        child.place(4)
        child.do("put(at, 4); ctypes.memset(at, 1, 2 << 12)")
        yield child


def kernels(pid: int, kind: Kind) -> bytes:
    if kind is Kind.NUMA_MAPS and not Path("/proc/self/numa_maps").exists():
        pytest.skip("this kernel has no numa_maps")
    return Path(f"/proc/{pid}/{kind}").read_bytes()


def assert_says_what_the_kernel_says(look: Looker, pid: int, kind: Kind) -> None:
    """Shares of shared pages change as others come and go: compare when they do not."""

    def compared() -> bool:
        before, ours, after = kernels(pid, kind), look(Known.now(pid), kind), kernels(pid, kind)
        return before == bytes(ours) == after

    wait_until(compared, f"{kind} as the kernel shows it")


@pytest.mark.parametrize("kind", Kind)
def test_it_is_the_kernels_text_where_that_holds_no_lock_for_long(
    child: Commanded, kind: Kind
) -> None:
    assert_says_what_the_kernel_says(looker(), child.pid, kind)


@pytest.mark.parametrize("kind", VMA_FILES)
def test_or_where_no_single_vma_does(
    child: Commanded, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "walk_ns", lambda sizes: 1e18)
    assert_says_what_the_kernel_says(looker(), child.pid, kind)


@pytest.mark.parametrize("name", ["smaps", "numa_maps"])
def test_then_one_read_walks_one_vma(
    child: Commanded, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fill ends when a read has enough, so each read() advances by at most one record."""
    sizes: list[int] = []

    def witness(path: str, size: int, holds: Holds) -> bytes:
        sizes.append(size)
        return read_by_walks(path, size, holds)

    monkeypatch.setattr(look, "walk_ns", lambda sizes: 1e18)
    monkeypatch.setattr(look, "read_by_walks", witness)
    records = looker()(Known.now(child.pid), Kind(name)).records
    assert min(map(len, records)) >= sizes[0] == sizes[-1] >= 17


@counts_pages
@pytest.mark.parametrize("kind", [Kind.SMAPS, Kind.SMAPS_ROLLUP])
def test_else_pages_are_counted(child: Commanded, kind: Kind) -> None:
    def told(text: bytes) -> list[bytes]:
        return re.findall(rb"^[0-9a-f]+-.*|^(?:Rss|Anonymous|Swap):.*", text, re.M)

    def compared() -> bool:
        ours = bytes(looker(NO_TIME)(Known.now(child.pid), kind))
        return told(ours) == told(kernels(child.pid, kind))

    wait_until(compared, f"{kind} as the kernel counts")


@has_numa
def test_numa_maps_that_would_take_a_long_hold_are_an_error(child: Commanded) -> None:
    with pytest.raises(OSError, match="busy") as caught:
        looker(NO_TIME)(Known.now(child.pid), Kind.NUMA_MAPS)
    assert caught.value.errno == errno.EBUSY


def assert_has_no_memory(pid: int) -> None:
    for kind in VMA_FILES:
        if kind is not Kind.NUMA_MAPS or Path("/proc/self/numa_maps").exists():
            assert kernels(pid, kind) == bytes(looker()(Known.now(pid), kind)) == b""
    for max_hold in LONG, NO_TIME:
        with pytest.raises(ProcessLookupError):
            looker(max_hold)(Known.now(pid), Kind.SMAPS_ROLLUP)
    with pytest.raises(ProcessLookupError):
        kernels(pid, Kind.SMAPS_ROLLUP)


def is_zombie(pid: int) -> bool:
    status = status_of(f"/proc/{pid}")
    return status is not None and status.dead


def test_a_zombie_has_no_memory() -> None:
    with Commanded() as child:
        child.kill()
        wait_until(lambda: is_zombie(child.pid), "it has ended")
        assert_has_no_memory(child.pid)


def test_a_kernel_thread_has_none() -> None:
    status = status_of("/proc/2")
    if status is None or not status.is_kernel_thread:
        pytest.skip("no kernel threads are seen from here")
    assert_has_no_memory(2)


def test_nor_has_a_process_whose_main_thread_has_ended_as_the_kernel_shows_it() -> None:
    with Commanded(leaderless=True) as child:
        wait_until(lambda: is_zombie(child.pid), "the main thread has ended")
        assert_has_no_memory(child.pid)
        thread = int(child.do("print(threading.get_native_id())"))
        assert_says_what_the_kernel_says(looker(), thread, Kind.MAPS)


@pytest.mark.parametrize("kind", Kind)
def test_what_is_gone_is_told(kind: Kind) -> None:
    with Commanded() as child:
        known = Known.now(child.pid)
        child.reap()
        with pytest.raises(ProcessLookupError) as caught:
            looker()(known, kind)
    assert caught.value.errno == errno.ESRCH


@pytest.mark.parametrize("kind", Kind)
def test_a_process_that_got_the_number_of_another_is_not_shown(
    child: Commanded, kind: Kind
) -> None:
    with pytest.raises(ProcessLookupError):
        looker()(Known(child.pid, 1), kind)


ASK_ALL = f"""
import os, warnings
from tests.helpers.watched import Known
from untorn.reader.access.budget import Budget
from untorn.serve.host.look import Looker
from untorn.serve.host.watched import Kind
warnings.simplefilter("ignore")
{BECOME_NOBODY}
look, process = Looker("/proc", 1, Budget()), Known.now(asked)
for kind in Kind:
    try:
        look(process, kind)
    except OSError as error:
        print(kind, error.errno, end=" ")
"""


@as_root
def test_what_may_not_be_looked_at_is_an_error(child: Commanded) -> None:
    """A look at root's process by nobody, which runs in a separate process."""
    with Commanded() as nobody:
        told = nobody.do(f"asked = {child.pid}; exec({ASK_ALL!r}); print()").split()
    refused = dict(zip(told[::2], map(int, told[1::2]), strict=True))
    numa = {} if Path("/proc/self/numa_maps").exists() else {"numa_maps": errno.ENOENT}
    assert refused == dict.fromkeys(Kind, errno.EACCES) | numa


@pytest.mark.parametrize("max_hold", [LONG, pytest.param(NO_TIME, marks=counts_pages)])
def test_what_maps_all_the_time_is_shown_whole(max_hold: float) -> None:
    with Commanded() as child:
        still = child.maps()
        at = child.hole(4)
        child.tell(
            f"while True: put({at}, 1); libc.munmap({at}, 1 << 12); put({at}, 2); "
            f"libc.munmap({at}, 2 << 12)"
        )
        for kind in Kind.MAPS, Kind.SMAPS:
            for _ in range(5):
                found = looker(max_hold)(Known.now(child.pid), kind)
                assert shows(found, still)
        for _ in range(5):
            found = looker(max_hold)(Known.now(child.pid), Kind.SMAPS_ROLLUP)
            assert re.search(rb"^Rss: +[1-9]\d* kB$", bytes(found), re.M)


def shows(text: Text, maps: bytes) -> bool:
    """Return whether a text covers all that maps showed, in order."""
    lines = [record.partition(b"\n")[0] + b"\n" for record in text.records]
    columns, before = Snapshot.parse(b"".join(lines)), parse([maps])
    covered = [
        all(columns.find(addr) for addr in (int(start), int(end) - 1))
        for start, end in zip(before.start, before.end, strict=True)
    ]
    return all(covered)


@counts_pages
def test_holds_are_paid_of_the_budget(child: Commanded) -> None:
    budget = Budget()
    Looker("/proc", LONG, budget)(Known.now(child.pid), Kind.SMAPS_ROLLUP)
    assert budget.spent.holds == 1
    assert budget.spent.longest_hold_ns > 0
    Looker("/proc", NO_TIME, budget)(Known.now(child.pid), Kind.SMAPS_ROLLUP)
    assert budget.spent.holds > 2


def test_procfs_may_be_reached_by_a_descriptor(child: Commanded) -> None:
    fd = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    try:
        found = Looker(f"/proc/self/fd/{fd}", LONG, Budget())(Known.now(child.pid), Kind.MAPS)
    finally:
        os.close(fd)
    assert bytes(found) == child.maps()
