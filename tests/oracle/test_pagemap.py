"""The same calls give the same pagemap, and the same scans of it, in engine and running kernel.

Left out are PAGE_IS_WRITTEN, which before Linux 7.3 may also be set for empty entries of a page
table, and PAGE_IS_SOFT_DIRTY, which many kernels are built without.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle.kernel_process import KernelProcess
from tests.oracle.live_pagemap import (
    Files,
    LiveEntries,
    engine_files,
    live_files,
    may_see_frames,
    pages_of,
)
from tests.oracle.scripts import IN_MEMORY, ON_A_DISK, PAGES, Call, smaps_scripts
from tests.oracle.smaps_pair import FIRST_PAGES, Opens, Pair
from tests.oracle.worlds import ANONYMOUS, RW, World
from untorn.maps.page import PAGE_SIZE, PMD_SIZE, TASK_SIZE
from untorn.maps.pagemap import (
    ENTRY_SIZE,
    PAGE_IS_FILE,
    PAGE_IS_GUARD,
    PAGE_IS_PRESENT,
    PAGE_IS_SOFT_DIRTY,
    PAGE_IS_WPALLOWED,
    PAGE_IS_WRITTEN,
    PM_SCAN_CHECK_WPASYNC,
    PM_SCAN_WP_MATCHING,
    VALID_CATEGORIES,
    PagemapFile,
    PmScanArg,
)
from untorn.mm.mman import (
    MADV_DONTNEED,
    MADV_FREE,
    MADV_GUARD_INSTALL,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
)
from untorn.syscalls import Process

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="no PROC_PAGE_MONITOR"),
]
P = PAGE_SIZE
SHOWN = 4 * PAGES
"""Pages of a window that are compared: all that scripts come to, and some after them."""
CATEGORIES = VALID_CATEGORIES & ~(PAGE_IS_WRITTEN | PAGE_IS_SOFT_DIRTY)


class PagemapPair(Pair):
    """A pair with an open pagemap in each world, and of each child."""

    def __init__(self, child: KernelProcess, opens: Opens, first_page: int = 0) -> None:
        super().__init__(child, opens, first_page)
        self._until_exit = ExitStack()
        self.kernel_files = self._until_exit.enter_context(live_files())
        self.engine_files = engine_files()
        self.files = self.engine_files, self.kernel_files
        self._open(self.engine.process, child.pid)

    def __exit__(self, *exc: object) -> None:
        self._until_exit.close()
        super().__exit__(*exc)

    def _open(self, process: Process, pid: int) -> None:
        process.proc.cap_sys_admin = may_see_frames()
        self.engine_files.pagemaps.append(process.open_pagemap())
        self.kernel_files.pagemaps.append(LiveEntries(f"/proc/{pid}/pagemap"))

    def fork(self) -> Callable[[], object]:
        """Fork in both; return what ends the children, which leaving does at the latest."""
        process, pid = self.engine.process.fork(), self._child.call("fork")
        end = ExitStack()
        end.callback(self._child.call, "end", pid)
        end.callback(process.exit)
        self._until_exit.enter_context(end)
        self._open(process, pid)
        return end.close

    def assert_alike(self, *questions: PmScanArg, after: object = "") -> None:
        base = self.engine.base
        engine, kernel = (pages_of(files, base, SHOWN) for files in self.files)
        assert engine == kernel, f"after {after}"
        for question in questions:
            engine, kernel = self.scans(question)
            assert engine == kernel, f"{question} after {after}"

    def scans(self, question: PmScanArg) -> tuple[list[object], list[object]]:
        """Return what each process of the engine answers, and each of the kernel's."""
        engine, kernel = ([scan_answer(each, question) for each in f.pagemaps] for f in self.files)
        return engine, kernel

    def question(self, **asked: int) -> PmScanArg:
        """Return a question about the window."""
        base = self.engine.base
        return PmScanArg(base, base + SHOWN * P, **{"return_mask": CATEGORIES, **asked})


@pytest.fixture
def pair(pinned_child: KernelProcess, memory_files: Opens) -> Iterator[PagemapPair]:
    with PagemapPair(pinned_child, memory_files) as pair:
        yield pair


def test_pages_of_parent_and_child_are_the_same_through_copies_moves_and_exit(
    pair: PagemapPair,
) -> None:
    for world, fds in pair.worlds:
        build_family(world, fds)
    pair.assert_alike(pair.question(), after="set-up")
    end_children = pair.fork()
    pair.assert_alike(pair.question(), after="fork")
    steps: dict[str, Callable[[World], object]] = {
        "a write of the parent's": lambda w: w.touch(w.page(0)),
        "a read of the zero page": lambda w: w.touch(w.page(5), write=False),
        "MADV_DONTNEED": lambda w: w.madvise(w.page(1), P, MADV_DONTNEED),
        "MADV_FREE": lambda w: w.madvise(w.page(2), P, MADV_FREE),
        "a move": lambda w: w.mremap(w.page(12), P, P, MREMAP_FIXED | MREMAP_MAYMOVE, w.page(40)),
        "an munmap": lambda w: w.munmap(w.page(18)),
        "a page mapped twice": lambda w: w.mremap(
            w.page(19), 0, P, MREMAP_FIXED | MREMAP_MAYMOVE, w.page(42)
        ),
    }
    for name, step in steps.items():
        for world, _ in pair.worlds:
            step(world)
        pair.assert_alike(pair.question(), after=name)
    end_children()
    for files in pair.files:
        with closing(files.pagemaps.pop()) as of_the_child:
            assert of_the_child.read_at(pair.engine.base // P * ENTRY_SIZE, ENTRY_SIZE) == b""
    pair.assert_alike(pair.question(), after="the child's exit")
    for world, _ in pair.worlds:
        world.touch(world.page(3))
    pair.assert_alike(pair.question(), after="a write to what was the child's, too")


def build_family(world: World, fds: list[int]) -> None:
    """Map memory and a file in ways of which a child gets its share."""
    world.put(0, 6)
    for page in range(4):
        world.touch(world.page(page))
    world.touch(world.page(4), write=False)
    world.mmap(world.page(6), 2 * P, RW, MAP_SHARED | MAP_FIXED, fds[0], 0)
    world.touch(world.page(6))
    world.mmap(world.page(9), 2 * P, RW, MAP_PRIVATE | MAP_FIXED, fds[3], 0)
    world.touch(world.page(10))
    world.put(12, 2, flags=ANONYMOUS | MAP_POPULATE)
    world.put(18, 2, flags=MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE)
    world.put(21, 3)
    world.touch(world.page(21))
    world.madvise(world.page(22), P, MADV_GUARD_INSTALL)


def test_a_page_keeps_its_frame_when_it_is_written_again_and_when_it_moves(
    pair: PagemapPair,
) -> None:
    if not may_see_frames():
        pytest.skip("frames are shown to CAP_SYS_ADMIN only")
    for (world, _), files in zip(pair.worlds, pair.files, strict=True):
        world.put(0, 1)
        world.touch(world.page(0))
        before = pages_of(files, world.page(0), 1), frame(files, world.page(0))
        world.touch(world.page(0))
        assert (pages_of(files, world.page(0), 1), frame(files, world.page(0))) == before
        world.mremap(world.page(0), P, P, MREMAP_FIXED | MREMAP_MAYMOVE, world.page(9))
        assert (pages_of(files, world.page(9), 1), frame(files, world.page(9))) == before


def frame(files: Files, addr: int) -> bytes:
    return files.pagemaps[0].read_at(addr // P * ENTRY_SIZE, ENTRY_SIZE)


READS = {
    "an offset inside of an entry": (4, 8),
    "a size that is no whole entry": (8, 4),
    "nothing": (8, 0),
    "a negative offset": (-8, 8),
    "the last page": ((TASK_SIZE // P - 1) * ENTRY_SIZE, 80),
    "the end": (TASK_SIZE // P * ENTRY_SIZE, 8),
    "far beyond it": (1 << 62, 8),
}


@pytest.mark.parametrize("what", READS)
def test_a_read_of_odd_places_is_answered_the_same(pair: PagemapPair, what: str) -> None:
    engine, kernel = (read_answer(files.pagemaps[0], *READS[what]) for files in pair.files)
    assert engine == kernel


def read_answer(pagemap: PagemapFile, offset: int, size: int) -> object:
    try:
        return pagemap.read_at(offset, size)
    except OSError as error:
        return error.errno


ODD_SCANS: dict[str, dict[str, int]] = {
    "a start inside of a page": {"start": 1},
    "an end inside of a page": {"end": P + 1},
    "an end before the start": {"start": 2 * P, "end": P},
    "an empty range": {"end": 0},
    "no regions": {"vec_len": 0},
    "another size": {"size": 104},
    "write protection": {"flags": PM_SCAN_WP_MATCHING},
    "write protection or nothing": {"flags": PM_SCAN_CHECK_WPASYNC},
    "an unknown flag": {"flags": 4},
    "an unknown category": {"category_mask": 1 << 10},
    "an unknown category inverted": {"category_inverted": 1 << 10},
    "an unknown category of any": {"category_anyof_mask": 1 << 63},
    "an unknown category to tell": {"return_mask": 1 << 10},
    "what may be write-protected": {"category_mask": PAGE_IS_WPALLOWED},
    "what may not": {
        "category_mask": PAGE_IS_WPALLOWED,
        "category_inverted": PAGE_IS_WPALLOWED,
    },
    "nothing to tell": {"category_mask": PAGE_IS_PRESENT, "return_mask": 0},
}


@pytest.mark.parametrize("what", ODD_SCANS)
def test_an_odd_scan_is_answered_the_same(pair: PagemapPair, what: str) -> None:
    for world, fds in pair.worlds:
        build_family(world, fds)
    base, odd = pair.engine.base, ODD_SCANS[what]
    places = {name: base + value for name, value in odd.items() if name in ("start", "end")}
    question = pair.question()._replace(**{**odd, **places})
    engine, kernel = pair.scans(question)
    assert engine == kernel


@pytest.mark.parametrize("end", [TASK_SIZE, TASK_SIZE + P, 1 << 63, (1 << 64) - 1])
def test_a_scan_beyond_user_space_is_answered_the_same(pair: PagemapPair, end: int) -> None:
    for start in TASK_SIZE - P, TASK_SIZE, end & -P:
        engine, kernel = pair.scans(PmScanArg(start, end))
        assert engine == kernel


def scan_answer(pagemap: PagemapFile, question: PmScanArg) -> object:
    try:
        return pagemap.scan(question)
    except OSError as error:
        return error.errno


@pytest.mark.parametrize("limits", [{}, {"max_pages": 550}, {"vec_len": 512}, {"vec_len": 600}])
def test_a_scan_of_more_regions_than_one_hold_finds_is_told_the_same(
    pair: PagemapPair, limits: dict[str, int]
) -> None:
    pages = 1300
    for world, _ in pair.worlds:
        # No call moves into this range, and Pair unmaps it with the window.
        world.put(64, pages)
        for page in range(64, 64 + pages, 2):
            world.touch(world.page(page))
    asked = {"category_mask": PAGE_IS_PRESENT, "return_mask": CATEGORIES, "vec_len": 2000, **limits}
    question = PmScanArg(pair.engine.page(64), pair.engine.page(64 + pages), **asked)
    engine, kernel = pair.scans(question)
    assert engine == kernel


def test_holes_in_vmas_are_told_and_holes_between_them_are_not(pair: PagemapPair) -> None:
    far = PMD_SIZE // P + 10
    for world, _ in pair.worlds:
        world.put(0, far)
        world.put(far + 10, 2)
        world.touch(world.page(far - 1))
    end = pair.engine.page(far + 20)
    question = PmScanArg(pair.engine.base, end, return_mask=PAGE_IS_PRESENT | PAGE_IS_FILE)
    for max_pages in 0, *range(131, 1000, 131):
        engine, kernel = pair.scans(question._replace(max_pages=max_pages))
        assert engine == kernel


masks = st.integers(0, VALID_CATEGORIES).map(lambda mask: mask & CATEGORIES)
likely = st.sampled_from([0, PAGE_IS_PRESENT, PAGE_IS_FILE, PAGE_IS_GUARD, PAGE_IS_PRESENT | 32])
questions = st.fixed_dictionaries(
    {
        "category_mask": likely,
        "category_inverted": likely | masks,
        "category_anyof_mask": likely | masks,
        "return_mask": masks,
        "max_pages": st.integers(0, 20),
        "vec_len": st.integers(0, 5) | st.just(100),
    }
)


def any_script(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


scripts_and_questions = {
    "first_page": st.sampled_from(FIRST_PAGES),
    "asked": st.lists(questions, min_size=1, max_size=4),
    "fork_at": st.integers(0, 20),
}


@any_script(60)
@given(script=smaps_scripts(ON_A_DISK), **scripts_and_questions)
def test_pages_are_the_same_after_every_call_of_any_script(
    pinned_child: KernelProcess,
    disk_files: Opens,
    script: list[Call],
    first_page: int,
    asked: list[dict[str, int]],
    fork_at: int,
) -> None:
    pair = PagemapPair(pinned_child, disk_files, first_page)
    compare_after_every_call(pair, script, asked, fork_at)


@any_script(60)
@given(script=smaps_scripts(IN_MEMORY), **scripts_and_questions)
def test_pages_are_the_same_where_pages_leave_files_in_memory(
    pinned_child: KernelProcess,
    memory_files: Opens,
    script: list[Call],
    first_page: int,
    asked: list[dict[str, int]],
    fork_at: int,
) -> None:
    pair = PagemapPair(pinned_child, memory_files, first_page)
    compare_after_every_call(pair, script, asked, fork_at)


def compare_after_every_call(
    pair: PagemapPair, script: list[Call], asked: list[dict[str, int]], fork_at: int
) -> None:
    with pair:
        for number, call in enumerate(script):
            if number == fork_at:
                pair.fork()
            engine, kernel = (call.make(world, fds) for world, fds in pair.worlds)
            assert engine == kernel, f"step {number}, {call}"
            pair.assert_alike(*(pair.question(**each) for each in asked), after=(number, call))
