"""The System V shared memory segments that scripts attach, by name.

They are marked for removal while this process has them attached: they vanish when it ends, for
whatever reason, and until then their IDs are good for shmat(2).
"""

import ctypes
from contextlib import ExitStack

from untorn.errors import OutOfReachError, describe, os_error
from untorn.maps.page import PAGE_SIZE

SEGMENTS = {"SEGMENT": 3 * PAGE_SIZE, "ODD_SEGMENT": PAGE_SIZE + 100}
"""Size of each in bytes."""
SEGMENT_NUMBERS = {name: number for number, name in enumerate(SEGMENTS)}
"""The numbers that stand for them in operations."""
_IPC_PRIVATE, _IPC_RMID, _OWNER = 0, 0, 0o700

_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmat.restype = ctypes.c_void_p
_libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
_libc.shmdt.argtypes = [ctypes.c_void_p]
_libc.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]


def make_segments(stack: ExitStack) -> list[int]:
    """Make the segments; return their shmids, in the order of SEGMENTS. The stack releases them.

    Raises:
        OutOfReachError: There can be none here.
    """
    try:
        return [_make_segment(stack, size) for size in SEGMENTS.values()]
    except OSError as error:
        raise OutOfReachError(f"no shared memory segment here: {describe(error)}") from error


def _make_segment(stack: ExitStack, size: int) -> int:
    shmid: int = _checked(_libc.shmget(_IPC_PRIVATE, size, _OWNER))
    try:
        at = _libc.shmat(shmid, None, 0)
        _checked(ctypes.c_long(at or 0).value)
        stack.callback(_libc.shmdt, at)
    finally:
        _libc.shmctl(shmid, _IPC_RMID, None)
    return shmid


def _checked(result: int) -> int:
    if result == -1:
        raise os_error(ctypes.get_errno())
    return result
