"""The lines of smaps and smaps_rollup after the line of the range: their order and format.

Compare fs/proc/task_mmu.c:show_smap(), __show_smap(), show_smaps_rollup(); proc_pid_smaps(5).
"""

from functools import lru_cache

SIZES = "Size", "KernelPageSize", "MMUPageSize"
"""Fields of a VMA, which smaps_rollup does not have."""
RESIDENT = "Rss", "Pss", "Pss_Dirty"
BY_KIND = "Pss_Anon", "Pss_File", "Pss_Shmem"
"""Fields that only smaps_rollup has."""
OTHERS = (
    *("Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty", "Referenced"),
    *("Anonymous", "KSM", "LazyFree", "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"),
    *("Shared_Hugetlb", "Private_Hugetlb", "Swap", "SwapPss", "Locked"),
)
THP_ELIGIBLE = "THPeligible"
NUMBER_WIDTH = 8
"""The least number of characters for a number."""
_LABEL_WIDTH = 16


@lru_cache
def kb_lines(*names: str) -> bytes:
    """Return the lines of fields in kB as a format string, with one number per field."""
    return b"".join(_labelled(name, NUMBER_WIDTH) + b" kB\n" for name in names)


def plain_line(name: str, width: int = NUMBER_WIDTH) -> bytes:
    """Return the line of a field without a unit as a format string, with one number.

    Args:
        name: The kernel's name of the field.
        width: The least number of characters for the number.
    """
    return _labelled(name, width) + b"\n"


def flags_line(flags: bytes) -> bytes:
    """Return the line for flags, which are two-letter codes, each followed by a space."""
    return b"VmFlags: %s\n" % flags


def number_width(line: bytes) -> int:
    """Return how many characters the number has in the line of a field without a unit.

    Args:
        line: The line without its newline.
    """
    return max(len(line) - max(_LABEL_WIDTH, line.index(b":") + 1), 1)


def _labelled(name: str, width: int) -> bytes:
    return b"%-*s%%%dd" % (_LABEL_WIDTH, name.encode() + b":", width)
