"""The quantities that are counted of pages."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Entries = npt.NDArray[np.uint64]
"""Entries of pagemap."""
Counts = npt.NDArray[np.int64]
"""One row per piece, one column per Quantity."""

Reals = npt.NDArray[np.float64]
PSS_SHIFT = 12
"""Fraction bits of a byte to which shares are summed up, as in the kernel."""


class Quantity(IntEnum):
    """What is counted, in bytes; pss, its parts, and their slack are shifted by PSS_SHIFT."""

    RSS = 0
    RSS_SLACK = 1
    PRIVATE = 2
    PRIVATE_SLACK = 3
    SHARED = 4
    SHARED_SLACK = 5
    PSS = 6
    PSS_SLACK = 7
    ANONYMOUS = 8
    ANONYMOUS_SLACK = 9
    SWAP = 10
    SWAP_SLACK = 11
    GUARD = 12
    KSM = 13
    KSM_SLACK = 14
    HUGE = 15
    HUGE_ANON = 16
    HUGE_SHMEM = 17
    HUGE_SHMEM_SLACK = 18
    PRIVATE_CLEAN = 19
    PRIVATE_CLEAN_SLACK = 20
    SHARED_CLEAN = 21
    SHARED_CLEAN_SLACK = 22
    PSS_CLEAN = 23
    PSS_CLEAN_SLACK = 24
    PSS_FILE = 25
    PSS_FILE_SLACK = 26
    PSS_SHMEM = 27
    PSS_SHMEM_SLACK = 28


SHARES = [quantity for quantity in Quantity if quantity.name.startswith("PSS")]
"""The quantities that are shifted."""
SLACKS = [quantity for quantity in Quantity if quantity.name.endswith("_SLACK")]
"""How much more there may be."""
LOWS = [Quantity[slack.name.removesuffix("_SLACK")] for slack in SLACKS]
"""The quantities to which each slack may be added."""
