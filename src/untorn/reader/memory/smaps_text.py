"""Read the text of smaps and smaps_rollup into columns.

Compare fs/proc/task_mmu.c:show_smap(), show_smaps_rollup(); proc_pid_smaps(5).
"""

from typing import NamedTuple

from untorn.reader.memory.smaps_fields import Masked, read_records
from untorn.reader.memory.smaps_from_text import FLAGS, Records, read_text
from untorn.reader.text.columns import Columns, first_descent
from untorn.reader.text.leniency import Leniency
from untorn.reader.text.parse import parse


class SmapsText(NamedTuple):
    """One row per record; read-only arrays."""

    columns: Columns
    """The lines of the ranges, as they are. If nothing is mapped, that of smaps_rollup ends at 0,
    where it begins."""
    fields: dict[str, Masked]
    """By the kernel's name, such as Rss or Private_Hugetlb, in the order of the text: bytes if the
    text has kB, otherwise the number itself; masked in records without a number of that name."""
    flags: list[tuple[str, ...] | None]
    """The flags in VmFlags; None in records without that line."""
    leniencies: tuple[Leniency, ...]
    """How the text differs from what Linux prints."""
    widths: dict[str, int]
    """For fields that are not bytes, such as THPeligible: the least width of a number."""


def parse_smaps(text: bytes) -> SmapsText:
    """Return the records of a text of smaps or smaps_rollup.

    Fields may be missing, unknown, empty and in any order, and records may have different fields.
    Output of other kernels, truncated texts, and what mails, terminals and editors leave of a text
    are read too, if they can mean only one thing: leniencies says what differs.

    Args:
        text: The whole text; an empty one has no records.

    Raises:
        ValueError: The text is neither; the message has the line and column, both from 1, what
            stands there, and what Linux prints there.
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
    """Take apart a text whose records all end with VmFlags, as Linux prints smaps.

    Raises:
        ValueError: It is not such a text; the message is not for users.
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
        raise ValueError("the last line is not VmFlags, or its flags are invalid")
    columns = parse([b"".join([line + b"\n" for line in ranges])])
    if first_descent(columns) is not None:
        raise ValueError("a range that does not end above the one before")
    return Records(columns, fields, flags[1:], ())  # nothing precedes the first range
