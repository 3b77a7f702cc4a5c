"""The memory of a caller, which is this very process here."""

import ctypes
import errno
import mmap
import os
import subprocess
import sys
import threading

import pytest

from tests.helpers.nobody import BECOME_NOBODY, as_root
from untorn.errors import os_error
from untorn.serve.caller.memory import CallerMemory

P = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)


class Room:
    """Three pages of this process; the last one is inaccessible."""

    def __init__(self) -> None:
        self._pages = mmap.mmap(-1, 3 * P)
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(self._pages))
        last = ctypes.c_void_p(self.start + 2 * P)
        if _libc.mprotect(last, ctypes.c_size_t(P), 0):
            raise os_error(ctypes.get_errno())

    def __getitem__(self, part: slice) -> bytes:
        return self._pages[part]

    def __setitem__(self, part: slice, data: bytes) -> None:
        self._pages[part] = data

    def memory(self, place: int = 0, size: int = 0) -> CallerMemory:
        """Return it as an ioctl with an argument at this place, of this size, sees it."""
        data = self._pages[place : place + size]
        return CallerMemory(threading.get_native_id(), self.start + place, data)


@pytest.fixture
def room() -> Room:
    return Room()


def refused(number: int) -> "pytest.RaisesExc[OSError]":
    return pytest.raises(OSError, match=os.strerror(number))


def test_what_is_not_carried_is_copied(room: Room) -> None:
    room[P - 2 : P + 2] = b"abcd"
    memory = room.memory()
    assert memory.copy_from_user(room.start + P - 2, 4) == b"abcd"
    memory.copy_to_user(room.start + P - 3, b"vwxyz")
    assert room[P - 3 : P + 2] == b"vwxyz"
    assert memory.carried == b""


def test_what_is_carried_is_left_to_the_kernel(room: Room) -> None:
    room[0:12] = b"0123456789ab"
    memory = room.memory(4, 4)
    room[4:8] = b"????"
    assert memory.copy_from_user(room.start, 12) == b"0123456789ab"
    memory.copy_to_user(room.start + 2, b"ABCDE")
    assert room[0:12] == b"01AB????89ab"
    assert memory.carried == b"CDE"
    assert memory.copy_from_user(room.start + 2, 7) == b"ABCDE78"
    memory.copy_to_user(room.start + 6, b"FGHI")
    assert (memory.carried, room[8:12]) == (b"CDFG", b"HIab")


def test_up_to_a_page_that_is_not_there_everything_is_copied(room: Room) -> None:
    memory = room.memory()
    with refused(errno.EFAULT):
        memory.copy_to_user(room.start + 2 * P - 3, b"abcdef")
    assert room[2 * P - 3 : 2 * P] == b"abc"
    for addr in (room.start + 2 * P - 3, room.start + 2 * P, 8, 1 << 63, (1 << 64) - 8):
        with refused(errno.EFAULT):
            memory.copy_from_user(addr, 6)


def test_nothing_is_copied_where_nothing_is_asked_for(room: Room) -> None:
    memory = room.memory()
    assert memory.copy_from_user(8, 0) == b""
    memory.copy_to_user(8, b"")


_BY_NOBODY = f"""
import os
from untorn.serve.caller.memory import CallerMemory
{BECOME_NOBODY}
try:
    CallerMemory(os.getppid(), 0, b"").copy_from_user(1 << 16, 1)
except PermissionError as error:
    print(error.strerror)
"""


@as_root
def test_who_may_not_trace_a_thread_does_not_reach_its_memory() -> None:
    told = subprocess.check_output([sys.executable, "-c", _BY_NOBODY], text=True)
    assert told == "Operation not permitted\n"


def test_a_thread_that_is_not_seen_has_no_memory(room: Room) -> None:
    with refused(errno.ESRCH):
        CallerMemory(0, room.start, b"").copy_from_user(room.start, 1)
