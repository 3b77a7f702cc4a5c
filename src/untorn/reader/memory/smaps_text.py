"""The text of smaps and smaps_rollup, read into columns.

Compare fs/proc/task_mmu.c:show_smap(), show_smaps_rollup(); proc_pid_smaps(5).
"""

from typing import NamedTuple

from untorn.reader.memory.smaps_fields import Masked, read_records
from untorn.reader.memory.smaps_from_text import FLAGS, Records, read_text
from untorn.reader.text.columns import Columns, first_descent
from untorn.reader.text.leniency import Leniency
from untorn.reader.text.parse import parse


class SmapsText(NamedTuple):
    """One row a record; arrays that cannot be written."""

    columns: Columns
    """The lines of the ranges, as they stand. That of smaps_rollup ends where it begins, at 0, if
    nothing is mapped."""
    fields: dict[str, Masked]
    """By the kernel's name, such as Rss or Private_Hugetlb, in the order of the text: bytes where
    the text has kB, else the number there; masked in records that have no number of that name."""
    flags: list[tuple[str, ...] | None]
    """What VmFlags lists; None in records that have no such line."""
    leniencies: tuple[Leniency, ...]
    """How the text differs from what Linux prints."""
    widths: dict[str, int]
    """Of fields that are no bytes, such as THPeligible: characters that a number takes at least."""


def parse_smaps(text: bytes) -> SmapsText:
    """Return the records of a text of smaps or smaps_rollup.

    Fields may be missing, unknown, empty and in any order, and each record may have others. What
    other kernels print, texts that are cut off at their end, and what mails, terminals and editors
    leave of a text are read, too, where they can mean but one thing: leniencies tell what differs.

    Args:
        text: The whole of it; nothing has no records.

    Raises:
        ValueError: It is none; the message has the number of a line and the column, both from 1,
            what stands there, and what Linux prints there.
    """
    try:
        records = _take_apart(text)
        fields, widths = read_records(records.fields)
    except ValueError:
        records = read_text(text)
        fields, widths = read_records(records.fields)
    flags = {each: None if each is None else _flags(each) for each in set(records.flags)}
    return SmapsText(
        records.columns,
        fields,
        [flags[each] for each in records.flags],
        records.leniencies,
        widths,
    )


def _flags(text: bytes) -> tuple[str, ...]:
    return tuple(text.decode().split())


def _take_apart(text: bytes) -> Records:
    """Take a text apart whose records all end with VmFlags, as Linux prints smaps.

    Raises:
        ValueError: It is another; what is said of it is of no use.
    """
    *pieces, last = (b"\n" + text).split(b"\nVmFlags:")
    flags, ranges, fields = [], [], []
    for piece in pieces:
        before, line, lines = piece.split(b"\n", 2)
        flags.append(before)
        ranges.append(line)
        fields.append(lines)
    flags.append(last.removesuffix(b"\n"))
    if not last.endswith(b"\n") or not all(map(FLAGS.fullmatch, set(flags))):
        raise ValueError("the last line is not that of flags, or these are none")
    columns = parse([b"".join([line + b"\n" for line in ranges])])
    if first_descent(columns) is not None:
        raise ValueError("a range that does not end above the one before")
    return Records(columns, fields, flags[1:], ())  # nothing comes before the first range
