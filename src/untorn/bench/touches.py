"""First touches of pages, while another thread of the process changes its map.

The kernel writes to a page that was never touched: read(2) into it. On every kernel such a fault
takes mmap_lock for reading. (If the program itself writes, Linux since 6.4 mostly needs only the
lock of the VMA.) Readers alone do not make it wait, but a writer that waits for them does: so
another thread changes the map.
Source: arch/x86/mm/fault.c:do_user_addr_fault().
"""

import ctypes
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from untorn.bench.mapper import Call, Choice, PageAddress, make_call
from untorn.bench.resident import forbid_huge
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import (
    MADV_DONTNEED,
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.processes.process_under_test import ThisProcess

FRESH = 2048
"""Pages that are made untouched at once."""
PAUSE = 0.001
"""Seconds between two updates of the other thread."""


def choose_touches(process: ThisProcess, page: PageAddress, seed: str) -> Iterator[Choice]:
    """Choose pages that were not touched before, without end; the call finds one at `page`."""
    size, chance = FRESH * PAGE_SIZE, random.Random(seed)
    base = process.mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)
    forbid_huge(process, base, size)
    with Path("/dev/zero").open("rb", buffering=0) as zero:
        arguments = (ctypes.c_int(zero.fileno()), page, ctypes.c_size_t(1))
        read = Call("touch", ctypes.PyDLL(None, use_errno=True).read, arguments, returns=1)
        while True:
            for address in chance.sample(range(base, base + size, PAGE_SIZE), FRESH):
                yield address, read
            process.madvise(base, size, MADV_DONTNEED)


@contextmanager
def updating(page: PageAddress, updates: Iterator[Choice]) -> Iterator[None]:
    """Let another thread on the same CPU make an update about every millisecond."""
    ended = threading.Event()

    def update() -> None:
        while not ended.wait(PAUSE):
            make_call(page, next(updates))

    thread = threading.Thread(target=update)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
