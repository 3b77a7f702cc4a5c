"""What is looked at of an engine process after every call, quickly.

Its maps, which files these are of, and the VMAs that the program has not written to so far.
"""

from untorn.fs.proc.show_map import gate_line, show_map
from untorn.mm.file import VmFile
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import VM_HUGETLB, VM_MAYSHARE, VM_WRITE

_Known = dict[Vma, tuple[tuple[object, ...], bytes]]


class EngineMaps:
    """Writes the maps of an address space of the engine; a VMA that is as it was keeps its line.

    Nobody else may use that at the same time.

    Attributes:
        files: That were mapped when the text was written last.
        unwritten: VMAs that a first write would have given an anon_vma then.
    """

    def __init__(self, mm: MmStruct) -> None:
        self._mm = mm
        self._lines: _Known = {}
        self.files: set[VmFile] = set()
        self.unwritten: list[Vma] = []

    def renamed(self) -> None:
        """Know that some file is called another way."""
        self._lines.clear()

    def text(self) -> bytes:
        """Return what a read of maps would."""
        mm, old, vmas = self._mm, self._lines, self._mm.mm_mt.root.values()
        self._lines = {vma: _line(mm.brk, vma, old.get(vma)) for vma in vmas}
        self.files = {vma.vm_file for vma in vmas if vma.vm_file is not None}
        self.unwritten = [vma for vma in vmas if vma.anon_vma is None and _may_be_written(vma)]
        gate = gate_line(mm.gate_vma_flags) if mm.gate_vma else b""
        return b"".join([line for _, line in self._lines.values()]) + gate


def _line(
    brk: int, vma: Vma, before: tuple[tuple[object, ...], bytes] | None
) -> tuple[tuple[object, ...], bytes]:
    """Return all that the line of vma is made of, but for what its file is called, and the line."""
    key = (
        *(vma.vm_start, vma.vm_end, vma.vm_flags, vma.vm_pgoff),
        *(vma.anon_name, vma.vm_file, vma.vm_ops, brk),
    )
    return before if before is not None and before[0] == key else (key, show_map(vma))


def _may_be_written(vma: Vma) -> bool:
    """Say whether a page of vma may become its own."""
    flags = vma.vm_flags
    return bool(flags & VM_WRITE) and not flags & (VM_MAYSHARE | VM_HUGETLB)
