"""What we look at in an engine process after every call, made quick.

Its maps, the files in them, and the VMAs that the program has not written to so far.
"""

from collections.abc import Iterable, Sequence
from itertools import compress, count
from operator import attrgetter, ne

from untorn.fs.proc.show_map import gate_line, show_map
from untorn.mm.file import VmFile
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import VM_HUGETLB, VM_MAYSHARE, VM_WRITE

_attributes = attrgetter(
    *("vm_start", "vm_end", "vm_flags", "vm_pgoff", "anon_name", "vm_file", "vm_ops")
)
"""Everything that a line of maps shows, except the file's name and the end of the heap."""

_OWNING = VM_WRITE | VM_MAYSHARE | VM_HUGETLB
"""Of these flags only VM_WRITE: then a write gives the VMA a page of its own."""


class EngineMaps:
    """Writes the maps of an engine's address space; unchanged VMAs keep their lines.

    Nobody else may use the address space at the same time.

    Attributes:
        files: The files that were mapped when the text was last written.
        writable: VMAs that might have had pages of their own then.
    """

    def __init__(self, mm: MmStruct) -> None:
        self._mm = mm
        self._brk = mm.brk
        self._keys: list[tuple[object, ...]] = []
        self._lines: list[bytes] = []
        self.files: set[VmFile] = set()
        self.writable: list[Vma] = []

    def renamed(self) -> None:
        """Note that some file has a new name."""
        self._keys, self._lines = [], []

    def text(self) -> bytes:
        """Return what a read of maps would return."""
        mm, vmas = self._mm, self._mm.mm_mt.root.values()
        if self._brk != mm.brk:
            self._brk = mm.brk
            self.renamed()
        keys = list(map(_attributes, vmas))
        if keys != self._keys:
            self._write(vmas, keys)
        gate = gate_line(mm.gate_vma_flags) if mm.gate_vma else b""
        return b"".join(self._lines) + gate

    def _write(self, vmas: Sequence[Vma], keys: list[tuple[object, ...]]) -> None:
        """Write the lines between those that are the same before and after."""
        old, lines = self._keys, self._lines
        most = min(len(keys), len(old))
        first = _same(keys, old, most)
        last = _same(reversed(keys[first:]), reversed(old[first:]), most - first)
        new = [show_map(vma) for vma in vmas[first : len(vmas) - last]]
        self._keys, self._lines = keys, [*lines[:first], *new, *lines[len(lines) - last :]]
        self.files = {vma.vm_file for vma in vmas if vma.vm_file is not None}
        self.writable = [vma for vma in vmas if vma.vm_flags & _OWNING == VM_WRITE]


def _same(some: Iterable[object], others: Iterable[object], most: int) -> int:
    """Return how many elements at the start of both are the same, at most that many."""
    return next(compress(count(), map(ne, some, others)), most)
