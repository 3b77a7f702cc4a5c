"""Make the text of smaps from a memory."""

from collections.abc import Iterator, Sequence

from untorn.maps.smaps_lines import BY_KIND, flags_line
from untorn.reader.memory.memory import Memory
from untorn.serve.text.known_fields import KnownField, known_fields
from untorn.serve.text.show_maps import show_maps
from untorn.serve.text.text import Text


def show_smaps(memory: Memory) -> Text:
    """Return the records of a memory as in /proc/PID/smaps, without unknown fields.

    Raises:
        ValueError: The memory is estimated from a sample.

    Compare fs/proc/task_mmu.c:show_smap().
    """
    known = [field for field in known_fields(memory) if field.name not in BY_KIND]
    lines = show_maps(memory).records
    flags = [_flags(each) for each in memory.flags]
    return Text(list(map(b"".join, zip(lines, _records(known), flags, strict=True))))


def _records(fields: Sequence[KnownField]) -> Iterator[bytes]:
    """Yield the lines of the fields of each VMA."""
    whole = b"".join([field.line for field in fields])
    for numbers in zip(*(field.numbers() for field in fields), strict=True):
        if None in numbers:
            lines = zip(fields, numbers, strict=True)
            yield b"".join([field.line % number for field, number in lines if number is not None])
        else:
            yield whole % numbers


def _flags(flags: Sequence[str] | None) -> bytes:
    return b"" if flags is None else flags_line(b"".join([b"%s " % f.encode() for f in flags]))
