"""Parse the lines of a text of maps, and report a line that cannot be used."""

from typing import NamedTuple

from untorn.maps.entry import GATE_NAME, MapsEntry
from untorn.maps.fields import NARROW_NAME_COLUMN
from untorn.maps.page import KERNEL_HALF, TASK_SIZE_5LEVEL, page_aligned


class NumberedLine(NamedTuple):
    """A line and its entry."""

    number: int
    """Line number, from 1."""
    text: bytes
    """The text of the line, with its newline."""
    entry: MapsEntry


def refusal(number: int, text: bytes, reason: object) -> ValueError:
    """Return the error for a line. The reason continues the sentence "line N of the maps ..."."""
    return ValueError(f"line {number} of the maps {reason}: {text!r}")


def number_lines(texts: list[bytes]) -> list[NumberedLine]:
    """Parse the lines of maps, each with its newline, without that of the gate VMA.

    Raises:
        ValueError: A line is torn, out of order, or at addresses that no process maps.
    """
    lines: list[NumberedLine] = []
    for number, text in enumerate(texts, 1):
        try:
            entry = MapsEntry.parse(text)
            _check_place(entry, lines[-1].entry.end if lines else 0)
            _check_form(entry, text)
        except ValueError as error:
            raise refusal(number, text, error) from None
        lines.append(NumberedLine(number, text, entry))
    return lines


def _check_place(entry: MapsEntry, previous_end: int) -> None:
    if entry.end > TASK_SIZE_5LEVEL:
        raise ValueError(f"is above what a process may map{_what_is_there(entry)}")
    if not all(map(page_aligned, (entry.start, entry.end, entry.offset))):
        raise ValueError("is not page-aligned")
    if entry.start < previous_end:
        raise ValueError("begins below the end of the line before it")


def _what_is_there(entry: MapsEntry) -> str:
    """Return the rest of the reason for refusing addresses that are too high."""
    if entry.name == GATE_NAME:
        return ": [vsyscall] must be the last line and one page, with --xp or r-xp"
    if entry.end > KERNEL_HALF:
        return ": on x86-64 these are addresses of the kernel"
    return ": no user space of x86-64 reaches so far"


def _check_form(entry: MapsEntry, text: bytes) -> None:
    if entry.line() == text:
        return
    if entry.name and text[NARROW_NAME_COLUMN - 1 :] == b" %s\n" % entry.name:
        raise ValueError(
            "has its name where a 32-bit kernel writes it: such processes are not modelled, only"
            " the 32-bit processes of 64-bit kernels"
        )
    raise ValueError("is not as Linux writes it")
