"""Fill an address space with VMAs, nearly up to max_map_count."""

from collections.abc import Iterator

from untorn.conform.operation import Operation
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    PROT_NONE,
    PROT_READ,
)

CROWD = 0x3000_0000_0000
"""Byte address where they begin."""
CROWD_END = CROWD + (1 << 36)
_LARGEST = 1 << 17
_FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE


def takes_too_long(mm: MmStruct) -> bool:
    """Say whether max_map_count is so large that it is not worth while to meet it."""
    return mm.limits.max_map_count > _LARGEST


def crowd(mm: MmStruct, room: int) -> Iterator[Operation]:
    """Yield the calls after which room VMAs are left to the limit; every page is one of them."""
    pages = mm.limits.max_map_count - mm.map_count - room
    if pages < 1:
        return
    yield Operation("mmap", (CROWD, pages * PAGE_SIZE, PROT_NONE, _FLAGS, -1, 0))
    for page in range(1, pages, 2):
        yield Operation("mprotect", (CROWD + page * PAGE_SIZE, PAGE_SIZE, PROT_READ))
