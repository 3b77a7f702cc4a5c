"""The memory of a process that stands still is what smaps says of it, whichever way it is had."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import count

import numpy as np
import pytest

import untorn
from tests.helpers.nobody import BECOME_NOBODY, as_root
from tests.helpers.populated import EXACT, OF_HUGE, PLAIN, TOLD, WAYS, Populated, differences
from tests.helpers.regions import KINDS, PAGE, PMD, SLOT
from tests.helpers.repository import ROOT
from tests.helpers.this_machine import SEES_FRAMES, by_frames, by_scans, counts_pages
from untorn.maps.pagemap import PM_PFRAME_MASK, PageScan, PmScanArg
from untorn.reader.access.gentle import Holds
from untorn.reader.access.pagemap import LivePagemap
from untorn.reader.memory import page_frames
from untorn.reader.memory.count import Counter
from untorn.reader.memory.figure import QUANTILE
from untorn.reader.memory.memory import FIELDS, Memory
from untorn.reader.memory.quantity import Quantity
from untorn.reader.memory.sample import estimate
from untorn.reader.memory.slices import Slices
from untorn.reader.memory.tally import Tally
from untorn.reader.text.columns import Numbers
from untorn.releases.release import running_release

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def parent() -> Iterator[Populated]:
    with Populated(kind for kind in KINDS if kind != "reserved") as process:
        yield process


@pytest.fixture(scope="module")
def family(parent: Populated) -> dict[str, int]:
    """The parent, a child that has all in common with it, and one that wrote and unmapped some."""
    some = [at for kind, at in parent.at.items() if kind != "program"]
    return {
        "parent": parent.pid,
        "child": parent.fork(),
        "other child": parent.fork(f"[regions.unshare(at) for at in {some}]"),
    }


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("who", ["parent", "child", "other child"])
def test_all_is_as_smaps_says(family: dict[str, int], who: str, how: str) -> None:
    pid = family[who]
    assert differences(pid, partial(untorn.memory, pid, max_hold=WAYS[how]), EXACT[how]) == []
    memory = untorn.memory(pid, max_hold=WAYS[how])
    assert set(memory.how) == {how}
    assert not memory.estimated
    assert not memory.changed.any()
    assert memory.changes == ()


@pytest.mark.parametrize("how", WAYS)
def test_terabytes_of_nothing_are_as_smaps_says(how: str) -> None:
    with Populated(["reserved"]) as process:
        look = partial(untorn.memory, process.pid, max_hold=WAYS[how])
        assert differences(process.pid, look, EXACT[how]) == []
        assert (look().total.size or 0) > 2 << 40


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("who", ["parent", "child", "other child"])
def test_what_is_clean_and_what_is_dirty_is_all(family: dict[str, int], who: str, how: str) -> None:
    if how == "pagemap" and not SEES_FRAMES:
        pytest.skip("page frames are shown to root only")
    memory = untorn.memory(family[who], max_hold=WAYS[how])
    for whole in "private", "shared":
        clean, dirty = (_known(memory, f"{whole}_{part}") for part in ("clean", "dirty"))
        assert np.array_equal(clean + dirty, _known(memory, whole))


def _known(memory: Memory, name: str) -> Numbers:
    bounds = memory.bounds(name)
    assert bounds
    assert np.array_equal(*bounds)
    return bounds[0]


@counts_pages
@pytest.mark.parametrize("how", WAYS)
def test_each_kind_of_memory_is_what_it_is_called(
    parent: Populated, family: dict[str, int], how: str
) -> None:
    memory = untorn.memory(parent.pid, max_hold=WAYS[how])
    amounts = {kind: total_at(memory, at) for kind, at in parent.at.items()}
    assert amounts["dense"]["rss"] == amounts["dense"]["shared"] == SLOT
    assert amounts["zeros"]["rss"] == PMD // 4
    assert amounts["huge_zeros"]["rss"] == 0
    assert amounts["shared"]["anonymous"] == 0 < amounts["shared"]["rss"]
    assert 0 < amounts["in_memory"]["shared"] < amounts["in_memory"]["rss"]
    assert amounts["guards"].get("guard") in (26 * PAGE, None)


def total_at(memory: Memory, at: int) -> dict[str, int]:
    """Return what is between a byte address and the end of the region there."""
    rows = (memory.start >= at) & (memory.end <= at + SLOT)
    bounds = {name: memory.bounds(name) for name in FIELDS}
    return {name: int(each[0][rows].sum()) for name, each in bounds.items() if each}


@by_scans
@pytest.mark.parametrize("how", WAYS)
def test_huge_pages_are_told_where_there_are_any(
    parent: Populated, family: dict[str, int], how: str
) -> None:
    memories = {who: untorn.memory(pid, max_hold=WAYS[how]) for who, pid in family.items()}
    of_huge = {who: total_at(each, parent.at["huge"]) for who, each in memories.items()}
    if not of_huge["parent"]["huge"]:
        pytest.skip("no huge pages can be had here")
    assert of_huge["parent"]["huge"] == of_huge["child"]["huge"] > of_huge["other child"]["huge"]


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Take away what this kernel tells, as an older one or a user without rights has it."""
    return lambda what: _TAKE_AWAY[what](monkeypatch)


def _take_frames(patch: pytest.MonkeyPatch) -> None:
    read_at, read_each = LivePagemap.read_at, LivePagemap.read_each

    def hidden(text: bytes) -> bytes:
        entries = np.frombuffer(text, np.uint64) & ~np.uint64(PM_PFRAME_MASK)
        return entries.tobytes()

    patch.setattr(page_frames, "_shows_frames", lambda: False)
    patch.setattr(LivePagemap, "read_at", lambda *args: hidden(read_at(*args)))
    patch.setattr(LivePagemap, "read_each", lambda *args: hidden(read_each(*args)))


def _take_scans(patch: pytest.MonkeyPatch) -> None:
    def refuse(pagemap: LivePagemap, question: PmScanArg) -> PageScan:
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))

    patch.setattr(LivePagemap, "scan", refuse)


_TAKE_AWAY = {"frames": _take_frames, "scans": _take_scans}
_NOBODY = f"""
import os
from functools import partial
import untorn
from tests.helpers import regions
from tests.helpers.populated import PLAIN, TOLD, WAYS, differences

def become_nobody():
    {BECOME_NOBODY}
    regions.be_seen()

def populate():
    become_nobody()
    for kind in regions.KINDS:
        if kind != "program":
            regions.make(kind)

untorn.memory(os.getpid(), max_hold=1e-9)  # all is imported while it may be read
pid = regions.fork(populate)
become_nobody()
try:
    for how, exact in ("smaps", TOLD), ("pagemap", PLAIN):
        look = partial(untorn.memory, pid, max_hold=WAYS[how])
        memory = look()
        print(how, *set(memory.how), memory.pss is None, differences(pid, look, exact))
finally:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
"""


@as_root
@by_scans
def test_an_ordinary_user_is_told_what_can_be_known() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _NOBODY], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        "smaps smaps False []",
        "pagemap pagemap True []",
    ], done.stderr


@by_scans
@pytest.mark.parametrize("who", ["parent", "other child"])
def test_without_the_right_to_see_frames_shares_have_bounds(
    family: dict[str, int], without: Callable[[str], None], who: str
) -> None:
    without("frames")
    pid = family[who]
    look = partial(untorn.memory, pid, max_hold=1e-9)
    assert differences(pid, look, PLAIN) == []
    memory = look()
    huge = memory.huge
    assert huge is not None
    for name in "private", "shared":
        bounds = memory.bounds(name)
        assert bounds is not None
        assert np.array_equal(*(each[huge == 0] for each in bounds))
    total = memory.total
    assert total.pss is None
    assert total.bounds["private"][0] < total.bounds["pss"][1] <= (total.rss or 0)


@by_frames
@pytest.mark.parametrize("who", ["parent", "other child"])
def test_without_scans_all_but_what_is_huge_is_counted(
    family: dict[str, int], without: Callable[[str], None], who: str
) -> None:
    without("scans")
    pid = family[who]
    look = partial(untorn.memory, pid, max_hold=1e-9)
    assert differences(pid, look, set(TOLD).difference(OF_HUGE)) == []
    assert (look().huge, look().guard) == (None, None)


@pytest.mark.parametrize("who", ["parent", "other child"])
def test_without_scans_and_frames_there_are_bounds(
    family: dict[str, int], without: Callable[[str], None], who: str
) -> None:
    without("scans")
    without("frames")
    pid = family[who]
    look = partial(untorn.memory, pid, max_hold=1e-9)
    assert differences(pid, look, ("size", "swap", "hugetlb")) == []


SLICES, DRAWS, LEAST_HELD = 60, 200, 0.86
"""Of right intervals, of 95 %, fewer hold less than once in a million times."""


@by_scans
def test_samples_of_a_real_process_hold_as_often_as_they_say() -> None:
    with Populated() as process:
        at = int(process.do(f"print(regions.mixed({SLICES}))"))
        process.fork(f"regions.write({at}, {SLICES * PMD // 3}, {2 * PAGE})")
        start, end = (np.array([addr], np.uint64) for addr in (at, at + SLICES * PMD))
        with counter_of(process.pid) as counter:
            told = counter.count([at], [at + SLICES * PMD])
            held = np.zeros(len(Quantity))
            for seed in range(DRAWS):
                seconds = count(0)  # each look at the clock is a second after the one before
                clock = partial(next, seconds)
                found = estimate(counter.count, start, end, PMD, 8, seed=seed, clock=clock)
                assert found.variance[0, Quantity.RSS] > 0
                margin = QUANTILE * np.sqrt(found.variance) + 1
                held += (np.abs(found.counts - told) <= margin)[0]
    assert told[0, Quantity.RSS] > told[0, Quantity.PRIVATE] > 0
    for quantity in Quantity.RSS, Quantity.PRIVATE, Quantity.PSS, Quantity.ANONYMOUS:
        assert held[quantity] >= LEAST_HELD * DRAWS


@contextmanager
def counter_of(pid: int) -> Iterator[Counter]:
    holds = Holds(gentle=False)
    with ExitStack() as stack:
        pagemap = stack.enter_context(closing(LivePagemap(f"/proc/{pid}", holds, holds)))
        frames = page_frames.KernelPageFrames.open()
        if frames:
            stack.callback(frames.close)
        slices = Slices(pagemap, chunk=PMD, drop_zeros=frames is None)
        tally = Tally(frames, ksm=False, no_special=frames is None)
        yield Counter(slices, tally, running_release())
