"""What is looked at of an engine process after every call, quickly.

Its maps, which files these are of, and the VMAs that the program has not written to so far.
"""

from operator import attrgetter

from untorn.fs.proc.show_map import gate_line, show_map
from untorn.mm.file import VmFile
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import VM_HUGETLB, VM_MAYSHARE, VM_WRITE

_attributes = attrgetter(
    *("vm_start", "vm_end", "vm_flags", "vm_pgoff", "anon_name", "vm_file", "vm_ops")
)
"""All that a line of maps is made of, but for what its file is called and where the heap ends."""


class EngineMaps:
    """Writes the maps of an address space of the engine; a VMA that is as it was keeps its line.

    Nobody else may use that at the same time.

    Attributes:
        files: That were mapped when the text was written last.
        unwritten: VMAs that a first write would have given an anon_vma then.
    """

    def __init__(self, mm: MmStruct) -> None:
        self._mm = mm
        self._brk = mm.brk
        self._lines: dict[tuple[object, ...], bytes] = {}
        self.files: set[VmFile] = set()
        self.unwritten: list[Vma] = []

    def renamed(self) -> None:
        """Know that some file is called another way."""
        self._lines.clear()

    def text(self) -> bytes:
        """Return what a read of maps would."""
        mm, vmas = self._mm, self._mm.mm_mt.root.values()
        if self._brk != mm.brk:
            self.renamed()
        old, keys = self._lines, list(map(_attributes, vmas))
        lines = [old.get(key) or show_map(vma) for key, vma in zip(keys, vmas, strict=True)]
        self._brk, self._lines = mm.brk, dict(zip(keys, lines, strict=True))
        self.files = {vma.vm_file for vma in vmas if vma.vm_file is not None}
        self.unwritten = [vma for vma in vmas if vma.anon_vma is None and _may_be_written(vma)]
        gate = gate_line(mm.gate_vma_flags) if mm.gate_vma else b""
        return b"".join(lines) + gate


def _may_be_written(vma: Vma) -> bool:
    """Say whether a page of vma may become its own."""
    flags = vma.vm_flags
    return bool(flags & VM_WRITE) and not flags & (VM_MAYSHARE | VM_HUGETLB)
