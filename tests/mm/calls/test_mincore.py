"""mincore on machines of four and of five levels of page tables."""

import errno
import os

import pytest

from untorn.maps.page import TASK_SIZE, TASK_SIZE_5LEVEL
from untorn.mm.mm_types import MmStruct
from untorn.syscalls import Process

BEYOND = (1 << 47) + 0x18000
"""A byte address that needs more than 47 bits."""


def test_vec_may_be_above_47_bits_with_five_levels() -> None:
    assert Process(MmStruct(task_size=TASK_SIZE_5LEVEL)).mincore(0, 0, BEYOND) == []
    with pytest.raises(OSError, match=os.strerror(errno.EFAULT)):
        Process(MmStruct(task_size=TASK_SIZE)).mincore(0, 0, BEYOND)
