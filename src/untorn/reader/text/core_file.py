"""The map in a core file: its program headers, and the note NT_FILE.

Compare fs/binfmt_elf.c:elf_core_dump(), fill_files_note(); core(5). Linux writes a PT_LOAD for each
VMA and, since 3.7, a note with the ranges of files. Debuggers leave out the PT_LOAD of what they do
not save; if that is not a file, nothing in the core mentions it. A core file has no devices, no
inodes and no names except those of files, and does not tell shared from private: these stay empty,
and the leniencies say so.
"""

import errno
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from untorn.maps.entry import MapsEntry
from untorn.maps.fields import NO_DEVICE, Permissions
from untorn.reader.text.leniency import Leniency

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

MAGIC = b"\x7fELF"
_NOT_SAVED = Permissions(0)


class _Range(NamedTuple):
    """A PT_LOAD, or a range of NT_FILE."""

    start: int
    end: int
    permissions: Permissions = _NOT_SAVED
    offset: int = 0
    name: bytes = b""


def read_core(file: BinaryIO) -> tuple[list[MapsEntry], tuple[Leniency, ...]]:
    """Return the ranges in a core file, and what it does not say of them.

    Args:
        file: An open, seekable file.

    Raises:
        ValueError: It is not an ELF core file, or is a broken one.
    """
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(file)
        if elf["e_type"] != "ET_CORE":
            raise ValueError("an ELF file, but not a core file")
        loads, files = _disjoint(_loads(elf)), _disjoint(_files(elf))
    except (ELFError, ConstructError, OverflowError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a seek beyond any file
            raise
        raise ValueError(f"a broken core file: {error}") from None
    entries = list(_combine(loads, files))
    return entries, tuple(_unknown(loads, files, entries))


def _loads(elf: "ELFFile") -> Iterator[_Range]:
    from elftools.elf.constants import P_FLAGS

    for segment in elf.iter_segments("PT_LOAD"):
        start, flags = segment["p_vaddr"], segment["p_flags"]
        kinds = zip(Permissions, (P_FLAGS.PF_R, P_FLAGS.PF_W, P_FLAGS.PF_X), strict=False)
        permissions = sum(permission for permission, flag in kinds if flags & flag)
        yield _Range(start, start + segment["p_memsz"], Permissions(permissions))


def _files(elf: "ELFFile") -> Iterator[_Range]:
    from elftools.elf.segments import NoteSegment

    for segment in elf.iter_segments("PT_NOTE"):
        assert isinstance(segment, NoteSegment)
        for note in segment.iter_notes():
            if note["n_type"] != "NT_FILE" or note["n_name"] != "CORE":
                continue
            said = note["n_desc"]
            for each, name in zip(said["Elf_Nt_File_Entry"], said["filename"], strict=True):
                offset = each["page_offset"] * said["page_size"]
                yield _Range(each["vm_start"], each["vm_end"], offset=offset, name=name)


def _disjoint(ranges: Iterator[_Range]) -> list[_Range]:
    """Return the ranges in order, without empty ones. Raises ValueError if two overlap."""
    ordered = sorted(each for each in ranges if each.start != each.end)
    for each in ordered:
        if not each.start < each.end < 1 << 64 > each.offset:
            raise ValueError(f"a broken core file: it has a range {each.start:x}-{each.end:x}")
    for low, high in pairwise(ordered):
        if high.start < low.end:
            raise ValueError(f"a broken core file: two ranges have the address {high.start:x}")
    return ordered


def _combine(loads: Sequence[_Range], files: Sequence[_Range]) -> Iterator[MapsEntry]:
    """Yield the ranges of both, cut where a range of either begins or ends."""
    edges = sorted({edge for each in (*loads, *files) for edge in each[:2]})
    for start, end in pairwise(edges):
        load, file = _at(loads, start), _at(files, start)
        if file is not None:
            offset = file.offset + start - file.start
            permissions = load.permissions if load else _NOT_SAVED
            yield MapsEntry(start, end, permissions, offset, NO_DEVICE, 0, file.name)
        elif load is not None:
            yield MapsEntry(start, end, load.permissions, 0, NO_DEVICE, 0, b"")


def _at(ranges: Sequence[_Range], addr: int) -> _Range | None:
    """Return the range that covers an address."""
    row = bisect(ranges, addr, key=lambda each: each.start) - 1
    return ranges[row] if row >= 0 and addr < ranges[row].end else None


def _unknown(
    loads: Sequence[_Range], files: Sequence[_Range], entries: Sequence[MapsEntry]
) -> Iterator[Leniency]:
    """Yield what the file does not say, and for how many ranges."""
    unsaved = sum(_at(loads, entry.start) is None for entry in entries)
    told = (
        (len(entries), "no device and no inode", "both: 00:00 0 stands for them"),
        (len(entries), "no shared and private", "p or s: p stands for both"),
        (sum(not entry.name for entry in entries), "no [heap], [stack] and the like", "them"),
        (unsaved, "no permissions of what it did not save", "them: ---p stands for them"),
        (not files, "no names of files, as there is no note NT_FILE", "them"),
    )
    for count, found, linux in told:
        if count:
            yield Leniency(0, 0, f"a core file has {found}", linux, count)
