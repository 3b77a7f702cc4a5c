"""The lines of smaps and smaps_rollup after that of the range: in which order, and how printed.

Compare fs/proc/task_mmu.c:show_smap(), __show_smap(), show_smaps_rollup(); proc_pid_smaps(5).
"""

from functools import lru_cache

SIZES = "Size", "KernelPageSize", "MMUPageSize"
"""Of a VMA; smaps_rollup has none of them."""
RESIDENT = "Rss", "Pss", "Pss_Dirty"
BY_KIND = "Pss_Anon", "Pss_File", "Pss_Shmem"
"""These only smaps_rollup has."""
OTHERS = (
    *("Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty", "Referenced"),
    *("Anonymous", "KSM", "LazyFree", "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"),
    *("Shared_Hugetlb", "Private_Hugetlb", "Swap", "SwapPss", "Locked"),
)
THP_ELIGIBLE = "THPeligible"
NUMBER_WIDTH = 8
"""Characters that a number takes at least."""
_LABEL_WIDTH = 16


@lru_cache
def kb_lines(*names: str) -> bytes:
    """Return the lines of fields in kB, as a format that takes a number each."""
    return b"".join(_labelled(name, NUMBER_WIDTH) + b" kB\n" for name in names)


def plain_line(name: str, width: int = NUMBER_WIDTH) -> bytes:
    """Return the line of a field without a unit, as a format that takes its number.

    Args:
        name: The kernel's.
        width: Characters that the number takes at least.
    """
    return _labelled(name, width) + b"\n"


def flags_line(flags: bytes) -> bytes:
    """Return the line of flags: codes of two letters, each followed by a space."""
    return b"VmFlags: %s\n" % flags


def number_width(line: bytes) -> int:
    """Return how many characters the number takes in the line of a field without a unit.

    Args:
        line: Without its newline.
    """
    return max(len(line) - max(_LABEL_WIDTH, line.index(b":") + 1), 1)


def _labelled(name: str, width: int) -> bytes:
    return b"%-*s%%%dd" % (_LABEL_WIDTH, name.encode() + b":", width)
