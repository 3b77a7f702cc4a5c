"""Refusals that the running kernel cannot be asked for; each test says why."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.helpers.tasks import Worker
from tests.oracle.worlds import ANONYMOUS, RW, EngineWorld
from untorn.maps.page import PAGE_SIZE
from untorn.mm.calls.mmap import do_mmap
from untorn.mm.file import VmFile
from untorn.mm.mman import MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_READ
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock

CALLS: dict[str, Callable[[EngineWorld], object]] = {
    "mmap": lambda engine: engine.mmap(),
    "munmap": lambda engine: engine.munmap(engine.page(0)),
    "mprotect": lambda engine: engine.mprotect(engine.page(0)),
    "mseal": lambda engine: engine.mseal(engine.page(0)),
}


@contextmanager
def refused(number: int) -> Iterator[None]:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what it is about
        yield
    assert caught.value.errno == number


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_killed_task_stops_waiting_for_mmap_lock(
    engine: EngineWorld, call: Callable[[EngineWorld], object]
) -> None:
    # In a real process nobody is left to see this errno: the signal that ends the wait is fatal.
    engine.put(0)
    before = engine.maps()
    mmap_write_lock(engine.process.mm)
    worker = Worker(lambda: call(engine))
    worker.task.kill()
    with refused(errno.EINTR):
        worker.join()
    mmap_write_unlock(engine.process.mm)
    assert engine.maps() == before


def test_a_swap_file_is_not_mapped_shared_and_written(engine: EngineWorld) -> None:
    # A real one would have to be swapped to: that changes the machine, not only our child.
    fd = engine.adopt(VmFile(b"/swap", swapfile=True))
    with refused(errno.ETXTBSY):
        engine.mmap(flags=MAP_SHARED, fd=fd)
    engine.mmap(flags=MAP_SHARED, prot=PROT_READ, fd=fd)
    engine.mmap(flags=MAP_PRIVATE, fd=fd)


def test_the_last_page_of_a_file_does_not_wrap(engine: EngineWorld) -> None:
    # mmap(2) takes bytes, so that pages cannot come near 2**64; mmap_pgoff() is not on x86-64.
    file = VmFile(b"/file")
    with refused(errno.EOVERFLOW):
        do_mmap(engine.process.mm, 0, 2 * PAGE_SIZE, RW, MAP_PRIVATE, file, (1 << 64) - 1)


@pytest.mark.parametrize("addr", [0, PAGE_SIZE, 15 * PAGE_SIZE])
def test_nothing_is_fixed_below_mmap_min_addr(engine: EngineWorld, addr: int) -> None:
    # The running kernel's is what it is, unless somebody changes it for the whole machine.
    limits = replace(
        engine.process.mm.limits, cap_sys_rawio=False, dac_mmap_min_addr=16 * PAGE_SIZE
    )
    engine.process.mm.limits = limits
    with refused(errno.EPERM):
        engine.mmap(addr, flags=ANONYMOUS | MAP_FIXED)
    assert engine.mmap(16 * PAGE_SIZE, flags=ANONYMOUS | MAP_FIXED) == 16 * PAGE_SIZE


def test_a_hint_below_mmap_min_addr_is_raised_to_it(engine: EngineWorld) -> None:
    # As above: test_placement.py asks the kernel for hints below its own.
    engine.process.mm.limits = replace(engine.process.mm.limits, mmap_min_addr=16 * PAGE_SIZE)
    assert engine.mmap(PAGE_SIZE) == 16 * PAGE_SIZE
    assert engine.mmap(PAGE_SIZE - 1) > 16 * PAGE_SIZE, "less than a page is no hint"
