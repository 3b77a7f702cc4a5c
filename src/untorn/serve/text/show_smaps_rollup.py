"""Make the text of smaps_rollup from a memory."""

from untorn.maps.entry import rollup_line
from untorn.maps.page import KERNEL_HALF
from untorn.maps.smaps_lines import BY_KIND, SIZES
from untorn.reader.memory.memory import How, Memory
from untorn.serve.text.known_fields import KB, known_fields
from untorn.serve.text.text import Text

_SHARES = "Pss", "Pss_Dirty", *BY_KIND, "SwapPss", "Locked"


def show_smaps_rollup(memory: Memory) -> Text:
    """Return the sums of a memory as in /proc/PID/smaps_rollup, without unknown fields.

    Sums of shares are unknown if VMAs were read from smaps: the kernel drops the fraction of a kB
    of each VMA there, but only that of the sum here. So this takes a memory that was counted, or
    one that was parsed from the kernel's smaps_rollup.

    Raises:
        ValueError: The memory is estimated from a sample.

    Compare fs/proc/task_mmu.c:show_smaps_rollup().
    """
    left_out = {*SIZES, *(_SHARES if len(memory) > 1 and How.SMAPS in memory.how else ())}
    lines = [_line(memory)]
    for field in known_fields(memory):
        total = field.sum()
        if total is not None and field.unit == KB and field.name not in left_out:
            lines.append(field.line % total)
    return Text([b"".join(lines)])


def _line(memory: Memory) -> bytes:
    """Return the line of what is mapped, without the page that all processes have."""
    own = memory.end[memory.end <= KERNEL_HALF]
    return rollup_line(int(memory.start[0]), int(own[-1])) if len(own) else rollup_line(0, 0)
