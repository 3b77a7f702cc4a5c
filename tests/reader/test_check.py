"""Holes: a false gap never gets through, and only doubtful holes are checked."""

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.entries import record
from untorn.errors import os_error
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Device, Permissions
from untorn.maps.procmap_query import ProcmapQuery, QueriedVma, QueryFlags
from untorn.reader import fills as fills_module
from untorn.reader import holes, take
from untorn.reader.access.idleness import Idleness
from untorn.reader.access.kernel_locks import SymbolEvidence
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.snapshot import Snapshot
from untorn.reader.take import take_snapshot

PAGE = 4096
GATE = MapsEntry(
    0xFFFFFFFFFF600000,
    0xFFFFFFFFFF601000,
    Permissions.parse(b"--xp"),
    0,
    Device(0, 0),
    0,
    b"[vsyscall]",
)


@pytest.fixture(autouse=True)
def _kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel on which gaps may be false, whatever this one is."""
    monkeypatch.setattr(take, "gaps_may_be_false", lambda: True)


def entry(start: int, end: int, name: bytes = b"") -> MapsEntry:
    return record(start * PAGE, end * PAGE, b"rw-p", 0, (0, 0), 0, name)


class ScriptedFile(LiveMapsFile):
    """A maps file that shows these fills, and answers queries from what is mapped now.

    Read line by line, it shows what is mapped now.
    """

    def __init__(
        self, fills: list[list[MapsEntry]], mapped: list[MapsEntry], ioctl: bool = True
    ) -> None:
        self._fd = -1
        self.shown, self.mapped, self.ioctl = fills, mapped, ioctl
        self.looks = 0
        self._left: list[bytes] = []

    def seek(self, offset: int, whence: int = 0) -> int:
        self._left = []
        self._started = False
        return 0

    def read(self, size: int) -> bytes:
        if not self._started:
            self._started = True
            fills = self.shown if size > 100 else [[each] for each in self.mapped]
            self._left = [b"".join(each.line() for each in fill) for fill in fills]
        return self._left.pop(0) if self._left else b""

    def procmap_query(self, question: ProcmapQuery) -> QueriedVma:
        assert question.query_flags == QueryFlags.COVERING_OR_NEXT_VMA
        if not self.ioctl:
            raise os_error(errno.ENOTTY)
        for each in self.mapped:
            if each.end > question.query_addr and each.name != b"[vsyscall]":
                if question.vma_name_size and len(each.name) >= question.vma_name_size:
                    raise os_error(errno.ENAMETOOLONG)
                return QueriedVma(each, PAGE)
        raise os_error(errno.ENOENT)

    def next_starts(self, addrs: Iterable[int]) -> Iterator[int]:
        for addr in addrs:
            self.looks += 1
            try:
                yield self.query(addr, next=True, name=False).entry.start
            except FileNotFoundError:
                yield 1 << 64


def pages_of(entries: Iterable[MapsEntry]) -> dict[int, bytes]:
    return {page: e.name for e in entries for page in range(e.start // PAGE, e.end // PAGE)}


@pytest.mark.parametrize("name", [b"[heap]", b"/" + b"deep/" * 1000 + b"file"])
@pytest.mark.parametrize("ioctl", [True, False])
def test_what_a_false_gap_left_out_is_put_in(ioctl: bool, name: bytes) -> None:
    shown = [entry(0, 1), entry(3, 4), GATE]
    mapped = [entry(0, 1), entry(1, 2, name), entry(2, 3), entry(3, 4), GATE]
    taken = take_snapshot(ScriptedFile([shown], mapped, ioctl), None, None)
    assert list(taken) == mapped
    if ioctl:
        assert (taken.coherence.false_gaps, taken.coherence.put_in) == (1, 2)
    assert taken.coherence.by_lines == (not ioctl)


def test_a_tail_that_was_left_out_is_put_in() -> None:
    mapped = [entry(0, 1), entry(1, 2), entry(5, 7)]
    for gate in [], [GATE]:
        file = ScriptedFile([[entry(0, 1), *gate]], [*mapped, *gate])
        assert list(take_snapshot(file, None, None)) == [*mapped, *gate]


def test_what_was_put_in_replaces_the_lines_that_it_covers() -> None:
    shown = [entry(0, 1), entry(3, 5, b"[old]"), entry(6, 8)]
    file = ScriptedFile([shown], [entry(0, 1), entry(2, 4), entry(4, 7), entry(7, 8)])
    taken = take_snapshot(file, None, None)
    assert list(taken) == [entry(0, 1), entry(2, 4), entry(4, 7), entry(7, 8)]


def test_a_vma_that_is_whole_again_takes_the_place_of_what_was_left_of_it() -> None:
    file = ScriptedFile([[entry(0, 1), entry(3, 4)]], [entry(0, 3), entry(3, 4)])
    taken = take_snapshot(file, None, None)
    assert list(taken) == [entry(0, 3), entry(3, 4)]
    assert taken.coherence.overlaps == 1


@given(st.data())
def test_whatever_was_shown_holes_end_up_as_they_are(data: st.DataObject) -> None:
    marks = st.lists(st.booleans(), min_size=40, max_size=40)
    cuts = data.draw(marks)
    old, now = (
        [entry(page, page + 1) for page, present in enumerate(data.draw(marks)) if present]
        for _ in range(2)
    )
    shown = [e._replace(name=b"old") for e in old]
    fills: list[list[MapsEntry]] = [[]]
    for each, cut in zip(shown, cuts, strict=False):
        fills[-1].append(each)
        if cut:
            fills.append([])
    taken = take_snapshot(ScriptedFile([f for f in fills if f], now), None, None)
    if not shown:
        return  # nothing precedes the first look
    result, truth, before = pages_of(taken), pages_of(now), pages_of(shown)
    for page in range(shown[0].start // PAGE, 40):
        assert page in result or page not in truth
        assert page in truth or page not in result or page in before
    assert (taken.start[1:] >= taken.end[:-1]).all()


class Sleeps(Idleness):
    """Says what it was told to say, for one segment after the other."""

    def __init__(self, *answers: bool) -> None:
        self._answers = list(answers)

    def start(self) -> None:
        pass

    def slept(self) -> bool:
        return self._answers.pop(0)


@pytest.fixture
def _asked_after_every_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fills_module, "SEGMENT", 1)
    monkeypatch.setattr(fills_module, "FEW", 1)


@pytest.mark.usefixtures("_asked_after_every_fill")
def test_only_holes_of_fills_in_which_the_process_ran_are_looked_into() -> None:
    fills = [
        [entry(0, 1), entry(2, 3)],
        [entry(4, 5), entry(6, 7)],
        [entry(7, 8), entry(8, 9), entry(10, 11)],
    ]
    mapped = [each for fill in fills for each in fill]
    for ran, holes_there in [(None, 0), (1, 1), (0, 2), (2, 2)]:
        file = ScriptedFile(fills, mapped)
        taken = take_snapshot(file, Sleeps(*(fill != ran for fill in range(3))), None)
        assert taken.coherence.quiet_fills == 3 - (ran is not None)
        assert taken.coherence.checked_holes == holes_there
        assert file.looks == holes_there
        assert list(taken) == mapped


@pytest.mark.usefixtures("_asked_after_every_fill")
def test_of_a_process_that_slept_a_gap_is_believed() -> None:
    file = ScriptedFile([[entry(0, 1), entry(3, 4)]], [entry(0, 4)])
    assert list(take_snapshot(file, Sleeps(True), None)) == [entry(0, 1), entry(3, 4)]


def test_of_a_few_fills_nobody_asks_whether_the_process_slept() -> None:
    file = ScriptedFile([[entry(0, 1), entry(3, 4)]], [entry(0, 1), entry(3, 4)])
    assert take_snapshot(file, Sleeps(), None).coherence.checked_holes == 2


def test_a_previous_snapshot_gives_lines_not_their_repairs() -> None:
    shown = [[entry(0, 1), entry(3, 4)]]
    first = take_snapshot(ScriptedFile(shown, [entry(0, 1), entry(1, 4)]), None, None)
    assert first.coherence.false_gaps == 1
    now = take_snapshot(ScriptedFile(shown, shown[0]), None, first)
    assert list(now) == shown[0]


def test_nothing_is_looked_into_where_a_fill_is_read_under_mmap_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(take, "gaps_may_be_false", lambda: False)
    file = ScriptedFile([[entry(0, 1), entry(3, 4)]], [entry(0, 4)])
    assert len(take_snapshot(file, None, None)) == 2


@pytest.mark.parametrize(
    ("release", "symbol", "may"),
    [
        ("5.10.0", None, False),
        ("6.12.0-android", True, True),
        ("6.12.0", False, False),
        ("6.12.0", None, False),
        ("6.17.0", None, True),
        ("6.18.44", None, True),
    ],
)
def test_the_kernel_decides_whether_gaps_may_be_false(
    release: str, symbol: bool | None, may: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = None if symbol is None else SymbolEvidence(symbol, Path("/proc/kallsyms"))
    monkeypatch.setattr(holes, "find_symbol", lambda: evidence)
    monkeypatch.setattr(
        os, "uname", lambda: os.uname_result(("Linux", "host", release, "#1", "x86_64"))
    )
    assert holes.gaps_may_be_false.__wrapped__() == may


def test_an_empty_map_is_an_empty_snapshot() -> None:
    assert list(take_snapshot(ScriptedFile([], []), None, None)) == []
    assert isinstance(take_snapshot(ScriptedFile([], []), None, None), Snapshot)
