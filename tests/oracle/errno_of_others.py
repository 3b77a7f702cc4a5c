"""What munmap, mprotect and mseal refuse, and with which errno.

Every row is true of the engine and of the running kernel.
"""

from errno import EINVAL, ENOMEM, EPERM

from tests.oracle.errno_of_mmap import UNKNOWN_PROT, P
from tests.oracle.rows import FOUR_LEVELS, row
from tests.oracle.worlds import RW, Bounds
from untorn.maps.page import TASK_SIZE, ULONG_MAX
from untorn.mm.mman import PROT_GROWSDOWN, PROT_GROWSUP, PROT_READ, PROT_SEM

MUNMAP = [
    row(EINVAL, "not aligned", "W", page=0, addr=1),
    row(EINVAL, "length 0", "W", page=0, length=0),
    row(EINVAL, "length rounds to 0", "W", page=0, length=ULONG_MAX),
    row(EINVAL, "above TASK_SIZE", addr=TASK_SIZE, needs=FOUR_LEVELS),
    row(EINVAL, "far above TASK_SIZE", addr=-P & ULONG_MAX),
    row(EINVAL, "across TASK_SIZE", addr=TASK_SIZE - P, length=P + 1, needs=FOUR_LEVELS),
    row(0, "nothing mapped", page=0, length=16 * P),
    row(0, "length rounds up", "WW", page=0, length=P + 1),
    row(EPERM, "sealed", "S", page=0),
    row(EPERM, "inside of sealed", "SSS", page=1),
    row(EPERM, "sealed after others", "WRS", page=0, length=3 * P),
    row(EPERM, "sealed after the tail of another", "WWS", page=1, length=2 * P, partial=True),
]

MPROTECT = [
    row(EINVAL, "not aligned", "W", page=0, addr=1),
    row(EINVAL, "not aligned, length 0", "W", page=0, addr=1, length=0),
    row(EINVAL, "grows both ways", "W", page=0, prot=PROT_GROWSDOWN | PROT_GROWSUP),
    row(EINVAL, "grows both ways, length 0", page=0, prot=PROT_GROWSDOWN | PROT_GROWSUP, length=0),
    row(0, "length 0", page=0, length=0),
    row(0, "length 0, unknown prot", page=0, length=0, prot=UNKNOWN_PROT),
    row(ENOMEM, "length rounds to 0", "W", page=0, length=ULONG_MAX),
    row(ENOMEM, "wraps", "W", page=0, length=-2 * P & ULONG_MAX),
    row(ENOMEM, "wraps, unknown prot", "W", page=0, length=-2 * P & ULONG_MAX, prot=UNKNOWN_PROT),
    row(EINVAL, "unknown prot", "W", page=0, prot=UNKNOWN_PROT),
    row(EINVAL, "unknown prot of nothing", page=0, prot=UNKNOWN_PROT),
    row(EINVAL, "all prot bits", "W", page=0, prot=ULONG_MAX & ~PROT_GROWSUP),
    row(0, "semaphores", "W", page=0, prot=PROT_READ | PROT_SEM),
    row(EINVAL, "grows down, no stack", "W", page=0, prot=PROT_READ | PROT_GROWSDOWN),
    row(0, "grows down, stack", "GGG", page=1, prot=PROT_READ | PROT_GROWSDOWN),
    row(0, "grows down, stack above", ".G", page=0, length=2 * P, prot=PROT_READ | PROT_GROWSDOWN),
    row(ENOMEM, "grows down, only a hole", ".G", page=0, prot=PROT_READ | PROT_GROWSDOWN),
    row(EINVAL, "grows up", "W", page=0, prot=PROT_READ | PROT_GROWSUP),
    row(ENOMEM, "grows up, hole first", ".W", page=0, length=2 * P, prot=PROT_READ | PROT_GROWSUP),
    row(ENOMEM, "nothing mapped", page=0),
    row(ENOMEM, "above TASK_SIZE", addr=TASK_SIZE, needs=FOUR_LEVELS),
    row(ENOMEM, "hole first", ".W", page=0, length=2 * P),
    row(ENOMEM, "hole in the middle", "W.W", page=0, length=3 * P, partial=True),
    row(ENOMEM, "hole last", "W", page=0, length=2 * P, partial=True),
    row(EPERM, "sealed", "S", page=0),
    row(EPERM, "sealed, no change", "S", page=0, prot=RW),
    row(EPERM, "sealed after others", "WS", page=0, length=2 * P, partial=True),
    row(ENOMEM, "RLIMIT_DATA", "WRR", page=1, prot=RW, bounds=Bounds(more_data_pages=0)),
    row(0, "RLIMIT_DATA, one page more", "WR", page=1, prot=RW, bounds=Bounds(more_data_pages=64)),
    row(0, "RLIMIT_DATA, no more than before", "W", page=0, bounds=Bounds(more_data_pages=-1)),
    row(0, "above RLIMIT_AS", "R", page=0, prot=RW, bounds=Bounds(more_pages=-1)),
]

MSEAL = [
    row(EINVAL, "flags", "W", page=0, flags=1),
    row(EINVAL, "flags, length 0", page=0, flags=1, length=0),
    row(EINVAL, "not aligned", "W", page=0, addr=1),
    row(EINVAL, "length rounds to 0", "W", page=0, length=ULONG_MAX),
    row(EINVAL, "wraps", "W", page=0, length=-P & ULONG_MAX),
    row(0, "length 0", page=0, length=0),
    row(0, "length rounds up", "WW", page=0, length=P + 1),
    row(0, "sealed already", "SS", page=1),
    row(ENOMEM, "nothing mapped", page=0),
    row(ENOMEM, "hole first", ".W", page=0, length=2 * P),
    row(ENOMEM, "hole in the middle", "W.W", page=0, length=3 * P),
    row(ENOMEM, "hole last", "W", page=0, length=2 * P),
]
