"""Take what the engine does not model from the kernel's maps and smaps.

VMAs whose lines did not change stay, with everything that lines do not show. Of the other lines,
new VMAs get what smaps says: VM_* flags, and whether they have pages of their own. A new VMA in the
place of an old one, of the same file or of anonymous memory, keeps its open file and its anon_vma.
"""

import re
from dataclasses import dataclass

from untorn.fs.from_maps.address_space import add_vma
from untorn.fs.from_maps.files import FilesOfMaps
from untorn.fs.from_maps.lines import NumberedLine, number_lines
from untorn.fs.proc.show_map import gate_line, show_map
from untorn.fs.proc.smaps_text import MNEMONICS
from untorn.maps.page import PAGE_SHIFT
from untorn.mm.file import VmFile
from untorn.mm.mm_types import MmStruct, Vma, vma_pages
from untorn.mm.mman import VM_HUGETLB, VM_LOCKED, VM_MAYSHARE
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.tree.store import store_range
from untorn.mm.vma_lock import vma_mark_detached, vma_start_write
from untorn.mm.vmas.accounting import vma_account
from untorn.mm.vmas.rmap import anon_vma_clone, vma_anon_prepare
from untorn.mm.vmas.vm_area import vm_area_free

_USERFAULTFD = {b"um": 1 << 9, b"uw": 1 << 12, b"ui": 1 << 41}
_UNKNOWN = _USERFAULTFD | {b"ss": 1 << 37}
"""VM_* bits that mean nothing to the engine but keep VMAs apart: userfaultfd, shadow stacks."""
UFFD_BITS = sum(_USERFAULTFD.values())
_BITS = {name.strip(): bit for bit, name in MNEMONICS} | _UNKNOWN
_PKEY_SHIFT = 32
PKEY_BITS = 15 << _PKEY_SHIFT
"""The bits of a VMA's protection key."""
_RECORD = re.compile(rb"^([0-9a-f]+)-[0-9a-f]+ .*\n((?:[A-Z].*\n)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Facts:
    """What smaps says of a VMA.

    Attributes:
        flags: VM_* bits.
        owns_pages: Whether some of its pages are anonymous.
        page_size: Size of its pages in bytes.
    """

    flags: int
    owns_pages: bool
    page_size: int


def facts_of(smaps: bytes) -> dict[int, Facts]:
    """Return what a text of smaps says, by the start of each VMA, a byte address."""
    return {int(start, 16): _facts(fields) for start, fields in _RECORD.findall(smaps)}


def huge_devices(text: bytes, facts: dict[int, Facts]) -> dict[tuple[int, int], int]:
    """Return the page sizes in bytes of devices whose files have huge pages."""
    huge = [
        line.entry
        for line in _lines_of(text)
        if line.entry.start in facts and facts[line.entry.start].flags & VM_HUGETLB
    ]
    return {(e.device.major, e.device.minor): facts[e.start].page_size for e in huge}


def _lines_of(text: bytes) -> list[NumberedLine]:
    return number_lines([line for line in text.splitlines(keepends=True) if not _is_gate(line)])


def take_maps(mm: MmStruct, text: bytes, facts: dict[int, Facts]) -> None:
    """Make the engine's VMAs equal those in a text of maps.

    Args:
        mm: The engine's address space; its mmap_lock is taken for write.
        text: The kernel's maps.
        facts: Facts of the same address space.

    Raises:
        ValueError: A line shows something that is not modelled at all.
    """
    lines = _lines_of(text)
    files = FilesOfMaps(lines, huge_devices(text, facts), mm.huge_pools)
    wanted = {line.text: line for line in lines}
    mmap_write_lock(mm)
    try:
        old = [vma for _, _, vma in mm.mm_mt]
        kept = {text: vma for vma in old if (text := show_map(vma)) in wanted}
        staying = set(kept.values())
        going = [vma for vma in old if vma not in staying]
        remains = [_Remains.of(vma) for vma in going]
        for vma in going:
            _remove(mm, vma)
        for line in lines:
            if line.text not in kept:
                kept[line.text] = _add(mm, line, files, remains)
            _set_facts(mm, kept[line.text], facts.get(line.entry.start))
    finally:
        mmap_write_unlock(mm)


def take_locked(mm: MmStruct, locked_vm: int) -> None:
    """Set locked_vm to the kernel's count, which may include pages that no VMA locks."""
    pages = sum(vma_pages(vma) for _, _, vma in mm.mm_mt if vma.vm_flags & VM_LOCKED)
    mm.locked_vm, mm.locked_vm_excess = locked_vm, locked_vm - pages


@dataclass(frozen=True, slots=True)
class _Remains:
    """What a VMA about to be removed leaves to those that take its place."""

    start: int
    end: int
    copy: Vma

    @classmethod
    def of(cls, vma: Vma) -> "_Remains":
        copy = Vma()
        copy.copy_from(vma)
        return cls(vma.vm_start, vma.vm_end, copy)

    def continues_in(self, vma: Vma) -> bool:
        """Return whether vma lies in its place, and maps the same part of the same file."""
        old = self.copy
        shift = vma.vm_start - self.start >> PAGE_SHIFT
        return (
            self.start < vma.vm_end
            and vma.vm_start < self.end
            and vma.vm_pgoff == old.vm_pgoff + shift
            and _inode(old.vm_file) == _inode(vma.vm_file)
            and not (old.vm_flags ^ vma.vm_flags) & VM_HUGETLB
        )


def _inode(file: VmFile | None) -> tuple[object, ...]:
    return () if file is None else (file.device, file.inode)


def _is_gate(line: bytes) -> bool:
    return line in (gate_line(4), gate_line(5))


def _remove(mm: MmStruct, vma: Vma) -> None:
    vma_start_write(vma)
    vma_mark_detached(vma)
    store_range(mm.mm_mt, vma.vm_start, vma.vm_end, None)
    mm.map_count -= 1
    vma_account(mm, vma.vm_flags, -vma_pages(vma))
    mm.page_table.clear(vma.vm_start, vma.vm_end)
    vm_area_free(vma)


def _add(mm: MmStruct, line: NumberedLine, files: FilesOfMaps, remains: list[_Remains]) -> Vma:
    vma = add_vma(mm, line, files.of(line.entry) if line.entry.has_file else None)
    for each in remains:
        if each.continues_in(vma):
            old = each.copy
            vma.vm_file, vma.vm_ops, vma.anon_vma = old.vm_file, old.vm_ops, old.anon_vma
            shift = vma.vm_start - each.start >> PAGE_SHIFT
            vma.vm_anon_pgoff, vma.vm_policy = old.vm_anon_pgoff + shift, old.vm_policy
            anon_vma_clone(vma, old)
            break
    return vma


def _set_facts(mm: MmStruct, vma: Vma, facts: Facts | None) -> None:
    """Give vma the kernel's flags, and an anon_vma if it has pages of its own."""
    if facts is None:
        return
    vma_start_write(vma)
    pages = vma_pages(vma)
    vma_account(mm, vma.vm_flags, -pages)
    vma.vm_flags = facts.flags
    vma_account(mm, vma.vm_flags, pages)
    if facts.owns_pages and not vma.vm_flags & VM_MAYSHARE:
        vma_anon_prepare(mm, vma)


def _facts(text: bytes) -> Facts:
    fields = dict(line.split(b":", 1) for line in text.splitlines())
    flags = sum(_BITS.get(name, 0) for name in fields[b"VmFlags"].split())
    flags |= int(fields.get(b"ProtectionKey", b"0")) << _PKEY_SHIFT
    page_size = int(fields[b"KernelPageSize"].split()[0]) << 10
    return Facts(flags, fields[b"Anonymous"].split()[0] != b"0", page_size)
