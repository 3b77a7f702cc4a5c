"""Small address spaces for tests: page numbers in, pages out."""

from untorn.maps.maps_file import MapsFile
from untorn.maps.page import PAGE_SIZE
from untorn.mm.limits import Limits
from untorn.mm.mm_types import MmStruct, Vma, VmaSlab
from untorn.mm.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE
from untorn.mm.mmap_lock import mmap_read_lock, mmap_read_unlock
from untorn.syscalls import Process

BASE = 0x10000
RW = PROT_READ | PROT_WRITE
ANON = MAP_ANONYMOUS | MAP_PRIVATE
FIXED = ANON | MAP_FIXED


class Pages(Process):
    """An engine process of its own, seen in pages from BASE on."""

    def __init__(self, slab: VmaSlab | None = None, limits: Limits | None = None) -> None:
        mm = MmStruct(limits=limits, gate_vma=False, slab=slab or VmaSlab())
        super().__init__(mm)

    def map(self, first: int, end: int, prot: int = RW, flags: int = FIXED, **file: int) -> None:
        self.mmap(addr(first), (end - first) * PAGE_SIZE, prot, flags, **file)
        self.check()

    def unmap(self, first: int, end: int) -> None:
        self.munmap(addr(first), (end - first) * PAGE_SIZE)
        self.check()

    def protect(self, first: int, end: int, prot: int) -> None:
        self.mprotect(addr(first), (end - first) * PAGE_SIZE, prot)
        self.check()

    def check(self) -> None:
        mmap_read_lock(self.mm)
        self.mm.check_invariants()
        mmap_read_unlock(self.mm)

    def vma(self, page: int) -> Vma:
        vma = self.mm.mm_mt.find(addr(page))
        assert vma is not None
        return vma

    def diagram(self, pages: int) -> str:
        """One character per page: a letter per VMA, alternating between neighbours; . for none."""
        text = ["."] * pages
        for number, (start, end, _) in enumerate(self.mm.mm_mt):
            for page in range(page_of(start), min(page_of(end), pages)):
                text[page] = chr(ord("A") + number)
        return "".join(text)


def addr(page: int) -> int:
    return BASE + page * PAGE_SIZE


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
