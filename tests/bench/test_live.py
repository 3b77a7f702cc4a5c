"""The live target: its parts, and the shape of a run."""

import ctypes
import errno
import itertools
import json
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.entries import record
from tests.helpers.processes import children_of
from tests.helpers.this_machine import or_skip, two_cpus
from untorn.bench import here, live_scanner
from untorn.bench.here import Cpus
from untorn.bench.live import LiveBenchTarget, add_mapper
from untorn.bench.live_scanner import ask_psutil, count_memory, open_psutil
from untorn.bench.mapper import Call, Calls, choose_updates, make_call, time_calls
from untorn.bench.resident import check_huge
from untorn.bench.scan import read_text, scan_until_stopped, walk_by_ioctl
from untorn.bench.target import WORKLOADS, BenchOptions
from untorn.bench.touches import FRESH, choose_touches
from untorn.errors import OutOfReachError
from untorn.maps.maps_file import MapsFile
from untorn.maps.procmap_query import ProcmapQuery, QueriedVma, QueryFlags
from untorn.processes.child import Stop
from untorn.processes.children import START_TIMEOUT, Children
from untorn.processes.process_under_test import ThisProcess
from untorn.reader.access.gentle import GentleMapsFile
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.live_maps import LiveMaps

BASE, SIZE, PAGE = 0x7000_0000, 64 * 4096, 4096
SHORT = BenchOptions(duration=0.2, busyduration=1.0, mb=1)


class FakeFile(MapsFile):
    """A maps file of three VMAs, or of a given text, that counts its calls."""

    def __init__(self, on_call: Callable[[int], None] = lambda calls: None) -> None:
        self.calls, self.left, self.on_call = 0, 0, on_call

    def _count(self) -> None:
        self.calls += 1
        self.on_call(self.calls)

    def read(self, size: int) -> bytes:
        self._count()
        self.left -= 1
        return b"x" * 10 if self.left >= 0 else b""

    def seek(self, offset: int, whence: int = 0) -> int:
        self.left = 3
        return 0

    def procmap_query(self, question: ProcmapQuery) -> QueriedVma:
        self._count()
        assert question.query_flags == QueryFlags.COVERING_OR_NEXT_VMA
        addr = question.query_addr
        if addr >= 3 * PAGE:
            raise OSError(errno.ENOENT, "no VMA")
        return QueriedVma(record(addr, addr + PAGE, name=b"name"), PAGE)

    def close(self) -> None:
        pass


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    return Stop()


def stop_at(stop: Stop, last: int) -> Callable[[int], None]:
    def on_call(calls: int) -> None:
        stop.requested = calls >= last

    return on_call


def nothing_of(page: ctypes.c_void_p) -> Calls:
    """Calls that differ and do nothing."""
    names = ("unmapping", "mapping", "idle")
    return Calls(page, *(Call(name, lambda: page.value, (), None) for name in names))


def test_pages_are_chosen_inside_the_region_and_the_same_way_for_a_seed() -> None:
    calls = nothing_of(ctypes.c_void_p())

    def some(seed: str) -> list[tuple[int, Call]]:
        region = range(BASE, BASE + SIZE)
        return list(itertools.islice(choose_updates(calls, region, seed), 1000))

    assert {address for address, _ in some("1-0")} == set(range(BASE, BASE + SIZE, PAGE))
    assert {call for _, call in some("1-0")} == {calls.unmap, calls.map}
    assert some("1-0") == some("1-0") != some("1-1")


def test_every_call_is_made_on_its_page_and_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count(0, 1000)  # one at each look at the clock, whatever the load
    clock = SimpleNamespace(perf_counter_ns=lambda: next(ticks))
    monkeypatch.setattr("untorn.bench.mapper.time", clock)
    page, made = ctypes.c_void_p(), []

    def call(name: str, returns: int | None) -> Call:
        def function(name: str) -> int | None:
            made.append((page.value, name))
            return page.value if returns is None else returns

        return Call(name, function, (name,), returns)

    map_, unmap, read = call("map", None), call("unmap", 0), call("read", 1)
    choices = [(BASE, map_), (BASE + PAGE, unmap), (BASE, read)]
    latencies = time_calls(page, itertools.cycle(choices), 38_000, 10_000)
    assert made == [(BASE, "map"), (BASE + PAGE, "unmap"), (BASE, "read"), (BASE, "map")]
    assert list(latencies) == [1000] * 4


def test_a_call_that_fails_ends_the_mapper_with_the_page() -> None:
    broken = Call("unmapping", lambda: -1, (), 0)
    with pytest.raises(OSError, match="unmapping of page 70001000"):
        time_calls(ctypes.c_void_p(), iter([(BASE + PAGE, broken)]), 1_000_000, 10_000)


@pytest.mark.parametrize(
    ("one_pass", "calls_of_a_pass", "size"), [(read_text, 4, 10), (walk_by_ioctl, 4, 104 + 4)]
)
def test_a_scanner_counts_whole_passes_and_all_bytes(
    stop: Stop,
    one_pass: Callable[[FakeFile], Iterator[int]],
    calls_of_a_pass: int,
    size: int,
) -> None:
    file = FakeFile(stop_at(stop, last=2 * calls_of_a_pass + 1))
    assert scan_until_stopped(file, one_pass, stop) == (2, 7 * size)


def test_a_scanner_that_finds_nothing_still_stops(stop: Stop) -> None:
    file = FakeFile(stop_at(stop, last=5))

    def nothing(file: FakeFile) -> Iterator[int]:
        return iter(file.read(0)[:0])

    assert scan_until_stopped(file, nothing, stop) == (5, 0)


@pytest.mark.live
@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_mapper_updates_its_region_as_often_as_told_and_stays_to_be_read(workload: str) -> None:
    options = BenchOptions(duration=0.05, mb=8, workload=workload)
    cpu = min(os.sched_getaffinity(0))
    with Children() as children:
        mapper = add_mapper(children, Cpus(cpu, cpu), options)
        for _ in range(2):
            mapper.start()
            measured = mapper.receive(START_TIMEOUT)
            latencies = mapper.receive_bytes(8 * measured["updates"], START_TIMEOUT)
            assert len(latencies) == 8 * measured["updates"] > 0
            assert measured["own_cost_ns"] > 0
        with LiveMapsFile(mapper.pid) as file:
            assert sum(1 for _ in read_lines(file)) > 2048 // 8  # a settled region


@pytest.mark.live
@pytest.mark.parametrize("huge", [False, True])
def test_resident_memory_is_one_vma_of_the_pages_asked_for(huge: bool) -> None:
    options = BenchOptions(mb=1, resident_mb=6, huge=huge)
    cpu = min(os.sched_getaffinity(0))
    with Children() as children:
        mapper = or_skip(lambda: add_mapper(children, Cpus(cpu, cpu), options))
        smaps = Path(f"/proc/{mapper.pid}/smaps").read_text()
    (resident,) = (vma for vma in smaps.split("VmFlags:") if "Size:               6144 kB" in vma)
    assert "Rss:                6144 kB" in resident
    in_huge_pages = re.search(r"AnonHugePages: +(\d+) kB", resident)
    assert in_huge_pages
    assert int(in_huge_pages[1]) == (6144 if huge else 0)


@pytest.mark.live
def test_more_resident_memory_than_there_is_is_out_of_reach() -> None:
    cpu = min(os.sched_getaffinity(0))
    with Children() as children, pytest.raises(OutOfReachError, match="this machine has"):
        add_mapper(children, Cpus(cpu, cpu), BenchOptions(resident_mb=1 << 27))


@pytest.mark.live
def test_huge_pages_that_are_not_to_be_had_are_out_of_reach() -> None:
    with pytest.raises(OutOfReachError, match="in huge pages: this machine gave"):
        check_huge(1 << 46)


@pytest.mark.live
def test_a_touch_is_of_a_page_that_is_not_there() -> None:
    page, process = ctypes.c_void_p(), ThisProcess()
    touches = choose_touches(process, page, "1-0")
    first = [next(touches) for _ in range(FRESH)]
    assert len({address for address, _ in first}) == FRESH
    for choice in first:
        make_call(page, choice)
    resident = ctypes.create_string_buffer(FRESH)
    mincore = ctypes.CDLL(None).mincore
    arguments = ctypes.c_void_p(min(address for address, _ in first)), ctypes.c_size_t(FRESH * PAGE)
    assert mincore(*arguments, resident) == 0
    assert resident.raw == b"\1" * FRESH
    next(touches)
    assert mincore(*arguments, resident) == 0
    assert resident.raw == bytes(FRESH)
    process.munmap(min(address for address, _ in first), FRESH * PAGE)


def read_lines(file: LiveMapsFile) -> Iterator[bytes]:
    return iter(b"".join(iter(lambda: file.read(65536), b"")).splitlines())


@two_cpus
@pytest.mark.live
@pytest.mark.parametrize(
    ("reader", "variant"),
    [
        (reader, variant)
        for reader in LiveBenchTarget.readers
        for variant in ("", *LiveBenchTarget.variants.get(reader, ()))
    ],
)
def test_a_short_run_has_the_shape_of_a_sample(reader: str, variant: str) -> None:
    try:
        run = LiveBenchTarget().run(reader, SHORT, 3, variant)
    except OutOfReachError as error:
        pytest.skip(str(error))
    assert (run.target, run.reader, run.variant) == ("live", reader, variant)
    assert (run.sample, run.hung) == (3, False)
    assert 0 < run.updates <= 0.2 / 10e-6 + 2
    assert 0 < run.median_ms <= run.p99_ms <= run.max_ms
    assert run.own_cost_ns
    assert run.counters.keys() - {"not_raised"} == {"blocked", "preempted"}
    assert children_of(os.getpid()) == set()


def test_without_psutil_its_reader_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(OutOfReachError, match=r"needs psutil: pip install 'untorn\[psutil\]'"):
        open_psutil(os.getpid())


def test_what_psutil_cannot_do_is_out_of_reach() -> None:
    psutil = pytest.importorskip("psutil")
    with open_psutil(os.getpid()) as process:
        assert list(ask_psutil(process)) == [0]
        process.memory_maps = raiser(psutil.AccessDenied(7))
        with pytest.raises(OutOfReachError, match=r"psutil: .*7"):
            list(ask_psutil(process))


def raiser(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_a_stop_ends_a_count_of_memory_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    def be_stopped(maps: LiveMaps) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it went on")

    monkeypatch.setattr(LiveMaps, "memory", be_stopped)
    before = signal.getsignal(signal.SIGTERM)
    try:
        stop = Stop()
        request = signal.getsignal(signal.SIGTERM)
        assert scan_until_stopped(os.getpid(), count_memory, stop) == (0, 0)
        assert stop.requested
        assert signal.getsignal(signal.SIGTERM) == request
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.live
@pytest.mark.parametrize(("raised", "counts"), [(True, set()), (False, {"not_raised"})])
def test_a_gentle_scanner_says_if_it_was_not_raised(
    raised: bool,
    counts: set[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(live_scanner, "wait_for_start", lambda: None)
    monkeypatch.setattr(live_scanner, "Stop", lambda: SimpleNamespace(requested=True))
    monkeypatch.setattr(GentleMapsFile, "raised", raised)
    with warnings.catch_warnings():
        live_scanner.read_maps(os.getpid(), "gentle")
    assert json.loads(capsys.readouterr().out).keys() == {"scans", "bytes_read"} | counts


@two_cpus
@pytest.mark.live
def test_none_has_no_scanner() -> None:
    run = LiveBenchTarget().run("none", SHORT, 0)
    assert (run.scans, run.bytes_read) == (0, 0)


@two_cpus
@pytest.mark.live
def test_a_mapper_that_does_not_end_is_reported_and_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = BenchOptions(duration=600, busyduration=1.0, mb=1)
    monkeypatch.setattr(here, "GRACE", -600.0)
    run = LiveBenchTarget().run("maps", endless, 0)
    assert (run.hung, run.updates) == (True, 0)
    assert children_of(os.getpid()) == set()
