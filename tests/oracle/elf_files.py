"""ELF files, read and made; what is executed need not do anything. Source: elf(5)."""

import os
import struct
from pathlib import Path

from tests.oracle.real_files import vm_file
from untorn.fs.binfmt_elf import Program, Segment

ET_EXEC, ET_DYN = 2, 3
PT_LOAD, PT_INTERP = 1, 3
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_PROT_OF_FLAGS = [flags >> 2 & 1 | flags & 2 | (flags & 1) << 2 for flags in range(8)]
"""PROT_* bits of PF_* bits; both name reading, writing and executing, in opposite order."""


def read_program(path: Path) -> tuple[Program, Path | None]:
    """Return what the engine needs to execute the file, and the interpreter that it names."""
    data = path.read_bytes()
    header = _HEADER.unpack_from(data)
    kind, at, number = header[1], header[5], header[10]
    segments, interpreter = [], None
    for index in range(number):
        fields = _PROGRAM_HEADER.unpack_from(data, at + index * _PROGRAM_HEADER.size)
        p_type, flags, offset, vaddr, _, filesz, memsz, align = fields
        if p_type == PT_LOAD:
            prot = _PROT_OF_FLAGS[flags & 7]
            segments.append(Segment(offset, vaddr, filesz, memsz, prot, align))
        elif p_type == PT_INTERP:
            interpreter = Path(os.fsdecode(data[offset : offset + filesz - 1]))
    return Program(vm_file(path, os.O_RDONLY), tuple(segments), kind == ET_DYN), interpreter


def write_program(path: Path, kind: int, segments: list[Segment], interpreter: str = "") -> None:
    """Write an executable file with these segments and nothing of use in them."""
    names = [PT_INTERP] * bool(interpreter)
    headers = _HEADER.size + (len(segments) + len(names)) * _PROGRAM_HEADER.size
    body = _HEADER.pack(
        b"\x7fELF\x02\x01\x01".ljust(16, b"\0"),
        *(kind, 62, 1, segments[0].vaddr + headers, _HEADER.size, 0, 0, _HEADER.size),
        *(_PROGRAM_HEADER.size, len(segments) + len(names), 0, 0, 0),
    )
    name = os.fsencode(interpreter) + b"\0"
    for _ in names:
        body += _PROGRAM_HEADER.pack(PT_INTERP, 4, headers, 0, 0, len(name), len(name), 1)
    for each in segments:
        flags = _PROT_OF_FLAGS.index(each.prot)
        body += _PROGRAM_HEADER.pack(
            PT_LOAD, flags, each.offset, each.vaddr, 0, each.filesz, each.memsz, each.align
        )
    end = max(each.offset + each.filesz for each in segments)
    path.write_bytes((body + name * len(names)).ljust(end, b"\0"))
    path.chmod(0o755)
