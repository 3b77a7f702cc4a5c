"""Small address spaces for tests: page numbers in, pages out."""

from untorn.check.stage import pages
from untorn.check.stage.pages import ANON, BASE, RW, addr
from untorn.maps.maps_file import MapsFile
from untorn.maps.page import PAGE_SIZE
from untorn.mm.limits import Limits
from untorn.mm.mm_types import MmStruct, VmaSlab
from untorn.mm.mman import MAP_FIXED
from untorn.mm.mmap_lock import mmap_read_lock, mmap_read_unlock
from untorn.syscalls import Process

__all__ = [
    "ANON",
    "BASE",
    "FIXED",
    "RW",
    "Pages",
    "addr",
    "page_of",
    "read_all",
    "shown",
    "text_of",
]

FIXED = ANON | MAP_FIXED


class Pages(pages.Pages):
    """The checker's address space, alone with its slab, and checked after every change."""

    def __init__(
        self,
        slab: VmaSlab | None = None,
        limits: Limits | None = None,
        release: tuple[int, ...] | None = None,
    ) -> None:
        slab = slab or VmaSlab()
        super().__init__(MmStruct(limits=limits, gate_vma=False, slab=slab, release=release))

    def map(self, first: int, end: int, prot: int = RW, flags: int = FIXED, **file: int) -> None:
        self.mmap(addr(first), (end - first) * PAGE_SIZE, prot, flags, **file)
        self.check()

    def unmap(self, first: int, end: int) -> None:
        super().unmap(first, end)
        self.check()

    def protect(self, first: int, end: int, prot: int) -> None:
        super().protect(first, end, prot)
        self.check()

    def check(self) -> None:
        mmap_read_lock(self.mm)
        self.mm.check_invariants()
        mmap_read_unlock(self.mm)

    def diagram(self, pages: int) -> str:
        """One character per page: a letter for each VMA, unlike its neighbours'; . for none."""
        text = ["."] * pages
        for number, (start, end, _) in enumerate(self.mm.mm_mt):
            for page in range(page_of(start), min(page_of(end), pages)):
                text[page] = chr(ord("A") + number)
        return "".join(text)


def page_of(address: int) -> int:
    return (address - BASE) // PAGE_SIZE


def shown(text: bytes) -> list[tuple[int, int]]:
    """Return the ranges of maps lines, in pages."""
    lines = text.decode().splitlines()
    ranges = [line.split(" ", 1)[0].split("-") for line in lines]
    return [(page_of(int(start, 16)), page_of(int(end, 16))) for start, end in ranges]


def text_of(process: Process, file: str = "maps", reader: str = "vma_lock") -> bytes:
    with process.open(file, reader) as opened:
        return read_all(opened)


def read_all(file: MapsFile) -> bytes:
    text = b""
    while chunk := file.read(1 << 16):
        text += chunk
    return text
