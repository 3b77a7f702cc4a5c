"""Core files made by hand, of both classes and both byte orders."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Permissions

ET_CORE, PT_LOAD, PT_NOTE, NT_FILE, PN_XNUM = 4, 1, 4, 0x46494C45, 0xFFFF


class Form(NamedTuple):
    """The format of a core file: word size and byte order."""

    bits: int = 64
    order: str = "<"

    def pack(self, letters: str, *values: int | bytes) -> bytes:
        """Pack values; W is a word of an address's size."""
        return struct.pack(
            self.order + letters.replace("W", "Q" if self.bits == 64 else "I"), *values
        )


FORM = Form()


def core(
    loads: Sequence[MapsEntry],
    files: Sequence[MapsEntry] | None,
    form: Form = FORM,
    *,
    page_size: int = 4096,
    extended: bool = False,
    type_: int = ET_CORE,
) -> bytes:
    """Return a core file.

    Args:
        loads: The ranges that have a PT_LOAD.
        files: The ranges in NT_FILE, in pages of page_size; None to leave the note out.
        form: Word size and byte order.
        page_size: The page size in the note.
        extended: Whether the number of program headers is in the first section.
        type_: ELF type.
    """
    wide = form.bits == 64
    header, program, section = (64, 56, 64) if wide else (52, 32, 40)
    count = len(loads) + 1
    notes = _note(form, b"LINUX", 0x202, b"register") + (
        _nt_file(form, files, page_size) if files is not None else b""
    )
    at = header + program * count
    headers = _program_header(form, PT_NOTE, 4, 0, 0, at, len(notes))
    headers += b"".join(
        _program_header(form, PT_LOAD, _flags(e.permissions), e.start, e.end - e.start, 0, 0)
        for e in loads
    )
    sections = form.pack("IIWWWWIIWW", 0, 0, 0, 0, 0, 0, 0, count, 0, 0) if extended else b""
    ident = b"\x7fELF" + bytes([1 + wide, 1 if form.order == "<" else 2, 1]) + bytes(9)
    start = ident + form.pack(
        "HHIWWWIHHHHHH", type_, 62 if wide else 3, 1, 0, header, (at + len(notes)) * extended, 0,
        header, program, PN_XNUM if extended else count, section, int(extended), 0,
    )  # fmt: skip
    return start + headers + notes + sections


def _program_header(
    form: Form, kind: int, flags: int, addr: int, size: int, offset: int, file_size: int
) -> bytes:
    if form.bits == 64:
        return form.pack("IIQQQQQQ", kind, flags, offset, addr, 0, file_size, size, 4)
    return form.pack("IIIIIIII", kind, offset, addr, 0, file_size, size, flags, 4)


def _flags(permissions: Permissions) -> int:
    flags = zip(Permissions, (4, 2, 1), strict=False)
    return sum(flag for permission, flag in flags if permission in permissions)


def _nt_file(form: Form, files: Sequence[MapsEntry], page_size: int) -> bytes:
    data = form.pack("WW", len(files), page_size)
    data += b"".join(form.pack("WWW", e.start, e.end, e.offset // page_size) for e in files)
    return _note(form, b"CORE", NT_FILE, data + b"".join(e.name + b"\0" for e in files))


def _note(form: Form, name: bytes, kind: int, data: bytes) -> bytes:
    head = form.pack("III", len(name) + 1, len(data), kind)
    return head + _padded(name + b"\0") + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
