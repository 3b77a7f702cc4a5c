"""What an ELF file says of itself: its build id, and its virtual addresses.

The files come from others, so nothing in them is trusted: see read_elf().

Source: elf(5).
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from untorn.errors import OutOfReachError
from untorn.maps.entry import MapsEntry
from untorn.maps.page import PAGE_SIZE, page_align
from untorn.maps.procmap_query import BUILD_ID_SIZE_MAX

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

_MAGIC = b"\x7fELF"
_PF_X = 1
_MOST_SEGMENTS, _LONGEST_NOTES = 1024, 1 << 16
"""More segments, and bytes of notes, than any linker makes; still quick to read."""


_DAMAGED = OSError, ArithmeticError, LookupError, ValueError, TypeError, AttributeError
"""What pyelftools raises besides its own errors, on files that no linker writes."""


class LoadSegment(NamedTuple):
    """A part of the file that is loaded (PT_LOAD); offsets and sizes in bytes."""

    offset: int
    file_size: int
    address: int
    """Virtual address, as the file has it."""
    flags: int

    def holds(self, offset: int) -> bool:
        """Return whether it contains a byte of the file."""
        return self.offset <= offset < self.offset + self.file_size

    def is_mapped_with(self, offset: int) -> bool:
        """Return whether the whole pages that are mapped for it contain a byte of the file."""
        last = page_align(self.offset + self.file_size)
        return self.file_size > 0 and self.offset & -PAGE_SIZE <= offset < last

    def address_of(self, offset: int) -> int:
        """Return the virtual address of a byte of the file."""
        return self.address + offset - self.offset


class Elf(NamedTuple):
    """What we want to know of a file."""

    segments: tuple[LoadSegment, ...]
    build_id: bytes
    """Empty if it has none, or if it was not looked for."""

    def address_of(self, entry: MapsEntry, addr: int, others: Callable[[], list[MapsEntry]]) -> int:
        """Return the virtual address in the file for a byte address in memory.

        One page of the file can be mapped for two segments, as the end of one and the start of the
        next, and for a segment that contains only a part of it. The file's other mappings nearby
        then decide which segment is meant.

        Args:
            entry: The VMA that covers addr.
            addr: The byte address.
            others: Returns the process's other mappings of this file; called only if it matters.

        Raises:
            OutOfReachError: No segment has this part of the file, or several have.
        """
        offset = entry.offset_of(addr)
        mapped = {s.address_of(offset) for s in self.segments if s.is_mapped_with(offset)}
        held = {s.address_of(offset) for s in self.segments if s.holds(offset)}
        if len(mapped) == len(held) == 1:
            return held.pop()
        beside = others() if mapped else []
        loaded = {each for each in mapped if self._fits(addr - each, beside)}
        found = loaded or held
        if len(found) == 1:
            return found.pop()
        how_many = "several segments hold" if found else "no segment holds"
        raise OutOfReachError(f"{how_many} this part of the ELF file")

    def _fits(self, bias: int, others: list[MapsEntry]) -> bool:
        """Return whether code of the file is mapped where this distance would put it."""
        return any(
            segment.is_mapped_with(other.offset)
            and segment.address_of(other.offset) + bias == other.start
            and segment.flags & _PF_X
            for segment in self.segments
            for other in others
            if other.executable
        )


def read_elf(file: BinaryIO, *, build_id: bool) -> Elf:
    """Read what an ELF file says of itself.

    Args:
        file: Opened for reading.
        build_id: Whether to look for the build id, too.

    Raises:
        OutOfReachError: It is not an ELF file, or cannot be read.
    """
    from elftools.common.exceptions import ELFError  # here, because it takes 70 ms
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    if file.read(len(_MAGIC)) != _MAGIC:
        raise OutOfReachError("the file is no ELF file")
    try:
        elf = ELFFile(file)
        if elf.num_segments() > _MOST_SEGMENTS:
            raise OutOfReachError("the ELF file has more segments than one can have")
        return Elf(tuple(_segments(elf)), _build_id(elf) if build_id else b"")
    except (ELFError, ConstructError, *_DAMAGED) as error:
        raise OutOfReachError(f"the ELF file cannot be read: {error}") from error


def _segments(elf: "ELFFile") -> Iterator[LoadSegment]:
    for each in elf.iter_segments(type="PT_LOAD"):
        header = each.header
        yield LoadSegment(header.p_offset, header.p_filesz, header.p_vaddr, header.p_flags)


def _build_id(elf: "ELFFile") -> bytes:
    from elftools.elf.segments import NoteSegment

    left = _LONGEST_NOTES
    for each in elf.iter_segments(type="PT_NOTE"):
        left -= each.header.p_filesz
        if left < 0 or not isinstance(each, NoteSegment):
            break
        for note in each.iter_notes():
            if note.n_type == "NT_GNU_BUILD_ID" and note.n_name == "GNU":
                build_id = bytes.fromhex(note.n_desc)
                return build_id if len(build_id) <= BUILD_ID_SIZE_MAX else b""
    return b""
