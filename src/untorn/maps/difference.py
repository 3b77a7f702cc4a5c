"""A difference between a line of maps and what Linux prints, and the rule that the line breaks.

Compare fs/proc/task_mmu.c:show_vma_header_prefix(), show_map_vma(); fs/seq_file.c:seq_pad(),
seq_put_hex_ll().
"""

from enum import Enum
from typing import NamedTuple


class FormatRule(Enum):
    """A rule of the format. Its value completes the sentence "Linux prints ..."."""

    ENCODING = "one byte for each character"
    NO_MARK = "no byte order mark"
    START = "the address in column 1"
    NO_BASE = "no 0x before a number"
    LOWER_CASE = "lower-case digits"
    DIGITS = "at least 8 (%08x)"
    ZEROS = "8 digits, and more only where the number has more (%08x)"
    OFFSET_DIGITS = "8 or more (%08x)"
    OFFSET_ZEROS = "8 digits of it, and more only where it has more (%08x)"
    DEVICE_DIGITS = "at least 2 digits each (%02x:%02x)"
    DEVICE_ZEROS = "2 digits each, and more only where the number has more (%02x:%02x)"
    INODE_ZEROS = "no zeros before the inode (%lu)"
    ADDRESS = "an address (%08x)"
    BITS = "numbers of at most 64 bits"
    DEVICE_BITS = "at most 12 bits of a major and 20 bits of a minor number"
    HYPHEN = "one hyphen between the addresses"
    BLANK = "one space between two columns"
    PERMISSIONS = "r or -, w or -, x or -, and then p or s"
    SHARING = "p (private) or s (shared) there"
    OFFSET = "the offset there (%08x)"
    DEVICE = "the device there (%02x:%02x)"
    INODE = "the inode there (%lu)"
    BLANK_AFTER_INODE = "a space there"
    NO_BLANKS_AT_END = "one space after the inode, then the newline"
    NAME = "a name there if there is an inode"
    NAME_COLUMN = "names in column 74 (50 on 32-bit machines), or after two spaces if that is taken"
    NEWLINE = "a newline there"
    NEWLINES = "a newline after each line"
    NO_RETURN = "none there"
    ONE_LINE_A_VMA = "one line for each VMA, and nothing else"
    NO_EMPTY_LINE = "no empty line"
    RANGE_FIRST = "the line of a range before its fields"
    FIELDS = "the fields of a range after its line"
    FIELD = "a name and a number, as in 'Rss:                   4 kB', or flags"
    FIELD_ONCE = "each field once after the line of a range"
    NOT_EMPTY = "no empty range"
    NOT_HIDDEN = "the addresses (grsecurity hides them: GRKERNSEC_PROC_MEMMAP)"
    NOT_BACKWARDS = "the lower address first"
    EXCLUSIVE_END = "the address after the last byte"
    ASCENDING = "each range above the one before it"


MISSING_COLUMNS = FormatRule.OFFSET, FormatRule.DEVICE, FormatRule.INODE
"""The rules that a missing column breaks, from left to right."""
TAKEN_BY_STRICT = {
    *(FormatRule.ZEROS, FormatRule.OFFSET_ZEROS, FormatRule.DEVICE_ZEROS, FormatRule.INODE_ZEROS),
    FormatRule.NAME_COLUMN,
}
"""The rules that MapsEntry.parse() does not enforce."""


class Difference(NamedTuple):
    """One difference of one line."""

    column: int
    """Column in bytes, from 1."""
    found: str
    """A description of what is there."""
    rule: FormatRule

    def __str__(self) -> str:
        return f"column {self.column}: {self.found}; Linux prints {self.rule.value}"


class NotMapsError(ValueError):
    """A line that cannot be read as a line of maps, even leniently.

    Attributes:
        difference: The difference that prevents it.
    """

    __slots__ = ("difference",)

    def __init__(self, difference: Difference) -> None:
        super().__init__(str(difference))
        self.difference = difference
