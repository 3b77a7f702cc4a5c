"""Page frames read in runs give the same as when read one by one."""

import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.nobody import as_root
from untorn.maps.pagemap import ENTRY_SIZE, KPF_ANON, KPF_COMPOUND_TAIL, KPF_DIRTY
from untorn.reader.memory.page_frames import KernelPageFrames, _shows_frames

FRAMES = 20_000
NUMBERS = [7 * frame + 1 for frame in range(FRAMES)]


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelPageFrames]:
    """A different number for each frame; flags of frames from the other end."""
    folder = tmp_path_factory.mktemp("frames")
    fds = []
    for name, numbers in ("counts", NUMBERS), ("flags", NUMBERS[::-1]):
        path = folder / name
        path.write_bytes(struct.pack(f"<{FRAMES}Q", *numbers))
        fds.append(path.open("rb", buffering=0))
    counts, flags = (fd.fileno() for fd in fds)
    yield KernelPageFrames(counts, flags, tails_lack=0)
    for fd in fds:
        fd.close()


def near(first: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 30), max_size=20).map(lambda all_: [first + n for n in all_])


WANTED = st.lists(st.integers(0, FRAMES + 100).flatmap(near), max_size=12).map(
    lambda runs: [frame for run in runs for frame in run]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=WANTED)
def test_in_any_order_each_frame_has_its_number(
    made_up: KernelPageFrames, wanted: list[int]
) -> None:
    frames = np.array(wanted, np.uint64)
    for told, numbers in (made_up.counts, NUMBERS), (made_up.flags, NUMBERS[::-1]):
        expected = [numbers[frame] if frame < FRAMES else 0 for frame in wanted]
        assert told(frames).tolist() == expected


def test_runs_that_are_longer_than_one_call_are_read_whole(made_up: KernelPageFrames) -> None:
    frames = np.arange(FRAMES - 1, -1, -1, dtype=np.uint64)
    assert made_up.counts(frames).tolist() == NUMBERS[::-1]


ORDERS = st.lists(st.integers(0, 9), min_size=1, max_size=8)


@given(orders=ORDERS, dirty=st.lists(st.booleans(), min_size=8, max_size=8), data=st.data())
def test_what_only_the_first_frame_of_a_page_tells_holds_for_all_of_them(
    orders: list[int], dirty: list[bool], data: st.DataObject
) -> None:
    told, wanted = [], []
    for order, is_dirty in zip(sorted(orders, reverse=True), dirty, strict=False):
        others = (1 << order) - 1
        told += [KPF_DIRTY * is_dirty, *[KPF_COMPOUND_TAIL] * others]
        wanted += [KPF_DIRTY * is_dirty] * (others + 1)
    asked = data.draw(st.lists(st.integers(0, len(told) - 1), max_size=40))
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(struct.pack(f"<{len(told)}Q", *told))
        frames = KernelPageFrames(-1, file.fileno(), tails_lack=KPF_DIRTY)
        flags = frames.flags(np.array(asked, np.uint64)) & np.uint64(KPF_DIRTY)
    assert flags.tolist() == [wanted[frame] for frame in asked]


@as_root
@pytest.mark.live
def test_the_kernel_tells_of_a_page_of_ours() -> None:
    if not _shows_frames():
        pytest.skip("pagemap shows no page frames here")
    frames = KernelPageFrames.open()
    assert frames
    page = np.ones(512 * 8, np.uint64)
    with Path("/proc/self/pagemap").open("rb", buffering=0) as pagemap:
        pagemap.seek((page.ctypes.data // 4096 + 1) * ENTRY_SIZE)
        entries = np.frombuffer(pagemap.read(4 * ENTRY_SIZE), np.uint64)
    pfns = entries & np.uint64((1 << 55) - 1)
    try:
        assert (frames.flags(pfns) & np.uint64(KPF_ANON) != 0).all()
        assert frames.counts(pfns).tolist() == [1] * 4
    finally:
        frames.close()
