"""Map the segments of a program. Compare fs/binfmt_elf.c:load_elf_binary(), elf_load()."""

from dataclasses import dataclass

from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE, TASK_SIZE, page_align
from untorn.mm.calls.brk import do_brk_flags
from untorn.mm.calls.mmap import do_mmap
from untorn.mm.calls.munmap import do_munmap, do_munmap_locked
from untorn.mm.file import VmFile
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import (
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_PRIVATE,
    PROT_EXEC,
    PROT_WRITE,
    VM_EXEC,
    VM_WRITE,
)
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.pages.memory import handle_mm_fault

ELF_ET_DYN_BASE = TASK_SIZE // 3 * 2
"""The byte address near which dynamic programs are mapped, except interpreters."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a file to load into memory: a program header of type PT_LOAD.

    Attributes:
        offset: Bytes into the file.
        vaddr: Byte address; in a dynamic program, relative to its load bias.
        filesz, memsz: Bytes in the file and bytes in memory. The rest in memory is zeros.
        prot: PROT_* bits.
        align: Bytes, a power of 2.

    Source: elf(5).
    """

    offset: int
    vaddr: int
    filesz: int
    memsz: int
    prot: int
    align: int = PAGE_SIZE


@dataclass(frozen=True, slots=True)
class Program:
    """An ELF file.

    Attributes:
        file: The file, open for reading.
        segments: In address order. The first one has some bytes in the file.
        dynamic: Its type is ET_DYN, so it may be loaded at any address.
    """

    file: VmFile
    segments: tuple[Segment, ...]
    dynamic: bool = False

    @property
    def size(self) -> int:
        """How many bytes there are from the first page to the last byte."""
        first, last = self.segments[0], self.segments[-1]
        return last.vaddr + last.memsz - (first.vaddr & -PAGE_SIZE)


def load_elf_binary(mm: MmStruct, program: Program, interpreter: Program | None) -> None:
    """Map a program and its interpreter. The heap begins after the program.

    Raises:
        OSError: as mmap(2).
    """
    bias = _load_bias(mm, program, has_interpreter=interpreter is not None)
    for number, segment in enumerate(program.segments):
        _elf_load(mm, program.file, segment, bias, MAP_FIXED if number else MAP_FIXED_NOREPLACE)
    if interpreter is not None:
        own = _find_room(mm, interpreter) if interpreter.dynamic else 0
        for segment in interpreter.segments:
            _elf_load(mm, interpreter.file, segment, own, MAP_FIXED)
    last = max(program.segments, key=lambda segment: segment.vaddr)
    mm.data_size = last.filesz
    end = max(segment.vaddr + segment.memsz for segment in program.segments)
    if program.dynamic and interpreter is None:  # a heap there would soon run into other mappings
        end, bias = ELF_ET_DYN_BASE, 0
    mm.start_brk = mm.brk = page_align(end + bias)


def _load_bias(mm: MmStruct, program: Program, *, has_interpreter: bool) -> int:
    """Return the number of bytes to add to the addresses of the segments."""
    if not program.dynamic:
        return 0
    if not has_interpreter:
        return _find_room(mm, program)
    alignment = max(segment.align for segment in program.segments)
    first = program.segments[0].vaddr
    return (ELF_ET_DYN_BASE & -alignment) - first & -PAGE_SIZE


def _find_room(mm: MmStruct, program: Program) -> int:
    """Return the bias for a program that is loaded wherever there is room for all of it."""
    first = program.segments[0]
    pgoff = first.offset >> PAGE_SHIFT
    found = do_mmap(mm, 0, program.size, first.prot, MAP_PRIVATE, program.file, pgoff)
    do_munmap(mm, found, program.size)
    return found - (first.vaddr & -PAGE_SIZE)


def _elf_load(mm: MmStruct, file: VmFile, segment: Segment, bias: int, flags: int) -> None:
    """Map a segment, and zeros after its part in the file. Compare elf_load()."""
    start = segment.vaddr + bias
    zeros = start + segment.filesz
    if segment.filesz:
        into_page = start % PAGE_SIZE
        pgoff = segment.offset - into_page >> PAGE_SHIFT
        length = segment.filesz + into_page
        do_mmap(mm, start - into_page, length, segment.prot, MAP_PRIVATE | flags, file, pgoff)
    if segment.memsz <= segment.filesz:
        return
    if segment.filesz and zeros % PAGE_SIZE and segment.prot & PROT_WRITE:
        handle_mm_fault(mm, zeros, VM_WRITE)  # Linux clears the rest of the page
    first = page_align(zeros) if segment.filesz else zeros & -PAGE_SIZE
    _map_zeros(mm, first, page_align(start + segment.memsz), segment.prot)


def _map_zeros(mm: MmStruct, start: int, end: int, prot: int) -> None:
    """Compare mm/mmap.c:vm_brk_flags()."""
    if start == end:
        return
    mmap_write_lock(mm)
    try:
        do_munmap_locked(mm, start, end - start)
        do_brk_flags(mm, start, end, VM_EXEC if prot & PROT_EXEC else 0)
    finally:
        mmap_write_unlock(mm)
