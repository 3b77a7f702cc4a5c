"""The memory of a thread that makes an ioctl, as for copy_from_user() and copy_to_user()."""

import ctypes
import errno
from collections.abc import Iterator
from contextlib import nullcontext

from untorn.errors import os_error
from untorn.serve.fuse.node import Held

_libc = ctypes.CDLL(None, use_errno=True)


class _IoVec(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("iov_base", ctypes.c_void_p), ("iov_len", ctypes.c_size_t))


_ARGUMENTS = (
    *(ctypes.c_int, ctypes.POINTER(_IoVec), ctypes.c_ulong),
    *(ctypes.POINTER(_IoVec), ctypes.c_ulong, ctypes.c_ulong),
)
_READ, _WRITE = _libc.process_vm_readv, _libc.process_vm_writev
for _copy in _READ, _WRITE:
    _copy.argtypes, _copy.restype = _ARGUMENTS, ctypes.c_ssize_t


class CallerMemory:
    """The memory of a thread that sleeps until its ioctl is answered. Only one thread uses it.

    The kernel carries as many bytes as the ioctl's number says from where its argument points, and
    back: these need no rights. process_vm_readv(2) and process_vm_writev(2) copy all the rest, for
    which the kernel demands the right to trace the caller. If a copy meets an absent page, the
    bytes before that page are copied, as in the kernel.

    Args:
        tid: The thread; its TID cannot be reused while it sleeps.
        argument: Byte address.
        data: The bytes there.
        held: Keeps the thread asleep while its memory is used.
    """

    def __init__(self, tid: int, argument: int, data: bytes, held: Held = nullcontext) -> None:
        self._tid, self._argument, self._held = tid, argument, held
        self._data = bytearray(data)
        self._written = 0  # bytes of data up to the last one that was written

    @property
    def carried(self) -> bytes:
        """What the kernel must carry back: the bytes up to the last one that was written."""
        return bytes(self._data[: self._written])

    def copy_from_user(self, addr: int, size: int) -> bytes:
        """Return size bytes at a byte address.

        Raises:
            OSError: EFAULT if they are not all readable; EPERM if we may not trace the caller;
                ESRCH if it is not in our PID namespace; EINTR if it was killed and is gone.
        """
        return b"".join(self._read_part(start, end) for start, end in self._parts(addr, size))

    def copy_to_user(self, addr: int, data: bytes) -> None:
        """Write data at a byte address. Raises OSError as copy_from_user()."""
        for start, end in self._parts(addr, len(data)):
            self._write_part(start, data[start - addr : end - addr])

    def _parts(self, addr: int, size: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges before, in and after what the kernel carries, without empty ones."""
        end, carried_end = addr + size, self._argument + len(self._data)
        inner = [min(max(place, addr), end) for place in (self._argument, carried_end)]
        for part in zip([addr, *inner], [*inner, end], strict=True):
            if part[0] < part[1]:
                yield part

    def _read_part(self, start: int, end: int) -> bytes:
        place = start - self._argument
        if 0 <= place < len(self._data):
            return bytes(self._data[place : end - self._argument])
        buffer = ctypes.create_string_buffer(end - start)
        self._copy(_READ, buffer, start, end - start)
        return buffer.raw

    def _write_part(self, start: int, data: bytes) -> None:
        place = start - self._argument
        if 0 <= place < len(self._data):
            self._data[place : place + len(data)] = data
            self._written = max(self._written, place + len(data))
        else:
            self._copy(_WRITE, ctypes.create_string_buffer(data, len(data)), start, len(data))

    def _copy(
        self,
        copy: "ctypes._NamedFuncPointer",
        buffer: "ctypes.Array[ctypes.c_char]",
        addr: int,
        size: int,
    ) -> None:
        ours, theirs = _IoVec(ctypes.addressof(buffer), size), _IoVec(addr, size)
        with self._held():
            copied = copy(self._tid, ours, 1, theirs, 1, 0)
        if copied != size:
            raise os_error(ctypes.get_errno() if copied < 0 else errno.EFAULT)
