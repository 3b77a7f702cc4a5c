"""The same calls give the same numa_maps in the engine and in the running kernel.

Not compared are active=, which says what reclaim makes of a page, swapcache= and writeback=, which
say what it, or a disk, is doing with one at the moment. The machine must have one node, as the
engine has.
"""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.engine import text_of
from tests.oracle.kernel_process import KernelProcess
from tests.oracle.scripts import IN_MEMORY, ON_A_DISK, Call, smaps_scripts
from tests.oracle.smaps_pair import FIRST_PAGES, Opens, Pair
from tests.oracle.worlds import ANONYMOUS, RW, WINDOW_SIZE
from untorn.fs.proc.files import PROC_FILES
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import (
    MADV_DONTNEED,
    MADV_FREE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_LOCKED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_READ,
)

ONLINE = Path("/sys/devices/system/node/online")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        not Path("/proc/self/numa_maps").exists(), reason="this kernel has no numa_maps"
    ),
    pytest.mark.skipif(
        ONLINE.exists() and ONLINE.read_text().strip() != "0", reason="more nodes than one"
    ),
]

P = PAGE_SIZE
NOT_COMPARED = re.compile(rb" (active|swapcache|writeback)=\d+")
any_script = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def both(pair: Pair, child: KernelProcess) -> tuple[list[bytes], list[bytes]]:
    """Return the lines of the window, of the engine and of the kernel."""
    child.call("drain")
    lockings = PROC_FILES["numa_maps"].lockings
    texts = {text_of(pair.engine.process, "numa_maps", each) for each in lockings}
    assert len(texts) == 1, "all strategies read the same"
    kernel = Path(f"/proc/{child.pid}/numa_maps").read_bytes()
    return window(pair.engine.base, texts.pop()), window(pair.engine.base, kernel)


def window(base: int, text: bytes) -> list[bytes]:
    lines = NOT_COMPARED.sub(b"", text).splitlines()
    return [line for line in lines if base <= int(line.split()[0], 16) < base + WINDOW_SIZE]


def test_numa_maps_of_parent_and_child_are_the_same(
    pinned_child: KernelProcess, disk_files: Opens
) -> None:
    child = pinned_child
    with Pair(child, disk_files) as pair:
        for world, fds in pair.worlds:
            world.put(0, 4, flags=ANONYMOUS | MAP_POPULATE)
            world.mmap(world.page(6), 2 * P, RW, MAP_SHARED | MAP_FIXED, fds[0], 0)
            world.touch(world.page(6))
            world.mmap(world.page(9), 2 * P, RW, MAP_PRIVATE | MAP_FIXED, fds[3], 0)
            world.touch(world.page(10))
            world.touch(world.page(9), write=False)
            world.put(18, 2, flags=MAP_SHARED | MAP_ANONYMOUS)
            world.touch(world.page(18))
            world.put(21, 3)
            world.put(25, 2, flags=ANONYMOUS | MAP_LOCKED)
            world.put(28, 2, prot=PROT_READ)
            world.touch(world.page(28), write=False)
        engine, kernel = both(pair, child)
        assert engine == kernel
        assert any(b" mapped=2 " in line for line in engine)
        pair.engine.process.fork()
        pid = child.call("fork")
        for world, _ in pair.worlds:
            world.touch(world.page(0))
            world.madvise(world.page(1), P, MADV_DONTNEED)
            world.madvise(world.page(2), P, MADV_FREE)
        engine, kernel = both(pair, child)
        child.call("end", pid)
        assert engine == kernel
        assert any(b" mapmax=2 " in line for line in engine)


def compare_after_every_call(pair: Pair, child: KernelProcess, script: list[Call]) -> None:
    with pair:
        for number, call in enumerate(script):
            for world, fds in pair.worlds:
                call.make(world, fds)
            engine, kernel = both(pair, child)
            assert engine == kernel, f"after step {number}, {call}"


@any_script
@given(script=smaps_scripts(ON_A_DISK), first_page=st.sampled_from(FIRST_PAGES))
def test_numa_maps_are_the_same_after_every_call_of_any_script(
    pinned_child: KernelProcess, disk_files: Opens, script: list[Call], first_page: int
) -> None:
    compare_after_every_call(Pair(pinned_child, disk_files, first_page), pinned_child, script)


@any_script
@given(script=smaps_scripts(IN_MEMORY), first_page=st.sampled_from(FIRST_PAGES))
def test_numa_maps_are_the_same_after_every_call_where_pages_leave_files_in_memory(
    pinned_child: KernelProcess, memory_files: Opens, script: list[Call], first_page: int
) -> None:
    compare_after_every_call(Pair(pinned_child, memory_files, first_page), pinned_child, script)
