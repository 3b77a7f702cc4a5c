"""The text of an engine's maps, quickly: a VMA that is as it was has the line that it had."""

from untorn.fs.proc.show_map import gate_line, show_map
from untorn.mm.file import VmFile
from untorn.mm.mm_types import MmStruct, Vma


class EngineMaps:
    """Writes the maps of an address space of the engine again and again.

    Nobody else may use that at the same time.

    Attributes:
        files: That were mapped when the text was written last.
    """

    def __init__(self, mm: MmStruct) -> None:
        self._mm = mm
        self.files: set[VmFile] = set()
        self._lines: dict[Vma, tuple[tuple[object, ...], bytes]] = {}

    def text(self) -> bytes:
        """Return what a read of maps would."""
        mm, old = self._mm, self._lines
        self._lines = {vma: _line(mm, vma, old.get(vma)) for _, _, vma in mm.mm_mt}
        self.files = {vma.vm_file for vma in self._lines if vma.vm_file is not None}
        gate = gate_line(mm.gate_vma_flags) if mm.gate_vma else b""
        return b"".join([line for _, line in self._lines.values()]) + gate


def _line(
    mm: MmStruct, vma: Vma, before: tuple[tuple[object, ...], bytes] | None
) -> tuple[tuple[object, ...], bytes]:
    """Return all that the line of vma is made of, and the line."""
    file = vma.vm_file
    # Lines of files need what the file is called, others what is heap, stack, or made special.
    name = (mm.brk, vma.vm_ops) if file is None else (file.path, file.inode, file.device)
    key = vma.vm_start, vma.vm_end, vma.vm_flags, vma.vm_pgoff, vma.anon_name, name
    return before if before is not None and before[0] == key else (key, show_map(vma))
