"""An address space drawn with one character per page: a letter for each VMA, . for none."""

from itertools import groupby

from tests.helpers.engine import Pages, addr, page_of
from untorn.maps.page import PAGE_SHIFT
from untorn.mm.mm_types import AnonVma, Vma, vma_pages
from untorn.mm.mman import VM_MAYREAD, VM_MAYWRITE, VM_READ, VM_WRITE
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.vma_lock import vma_start_write
from untorn.mm.vmas.accounting import vma_account
from untorn.mm.vmas.merge import Attributes, vma_merge_existing_range, vma_merge_new_range
from untorn.mm.vmas.rmap import anon_vma_prepare
from untorn.mm.vmas.vm_area import vm_area_alloc, vma_store_new

FLAGS = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE


class Drawing:
    """An address space as drawn; inside a with block its mmap_lock is held for write.

    Attributes:
        vmas: The VMAs by their letters.
    """

    def __init__(self, text: str, flags: int = FLAGS) -> None:
        self.process = Pages()
        self.mm = self.process.mm
        self.flags = flags
        self.vmas: dict[str, Vma] = {}
        mmap_write_lock(self.mm)
        first = 0
        for letter, run in groupby(text):
            pages = len(list(run))
            if letter != ".":
                self.vmas[letter] = self._add(first, first + pages)
            first += pages
        mmap_write_unlock(self.mm)

    def __enter__(self) -> "Drawing":
        mmap_write_lock(self.mm)  # another section: no VMA is write-locked yet
        return self

    def __exit__(self, *exc: object) -> None:
        mmap_write_unlock(self.mm)

    def _add(self, first: int, end: int) -> Vma:
        vma = vm_area_alloc(self.mm)
        vma.vm_start, vma.vm_end = addr(first), addr(end)
        vma.vm_pgoff = vma.vm_anon_pgoff = first
        vma.vm_flags, vma.vm_file = self.flags, None
        vma_start_write(vma)
        vma_store_new(self.mm, vma)
        vma_account(self.mm, vma.vm_flags, vma_pages(vma))
        return vma

    def own_pages(self, *letters: str) -> AnonVma:
        """Give these VMAs one anon_vma."""
        anon_vma = AnonVma()
        for letter in letters:
            anon_vma_prepare(self.vmas[letter], anon_vma)
        return anon_vma

    def merge_new(self, first: int, end: int, flags: int | None = None) -> Vma | None:
        flags = self.flags if flags is None else flags
        prev, following = self.mm.find_vma_prev(addr(first)), self.mm.find_vma(addr(end))
        new = Attributes(flags, None, first, first)
        vma = vma_merge_new_range(self.mm, prev, following, addr(first), addr(end), new)
        if vma is not None:
            vma_account(self.mm, flags, end - first)
        return vma

    def merge_existing(self, first: int, end: int) -> Vma | None:
        vma = self.mm.find_vma(addr(first))
        assert vma is not None
        new = Attributes.of(vma, addr(first))
        return vma_merge_existing_range(self.mm, vma, addr(first), addr(end), new)

    def __str__(self) -> str:
        """Draw it as it is now, after checking every count."""
        self.mm.check_invariants()
        letters = {vma: letter for letter, vma in self.vmas.items()}
        text = ""
        for start, end, vma in self.mm.mm_mt:
            assert vma.vm_pgoff == page_of(start), "every page is the same as before"
            text = text.ljust(page_of(start), ".")
            text += letters.get(vma, "*") * (end - start >> PAGE_SHIFT)
        return text
