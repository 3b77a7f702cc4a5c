"""The credentials of one thread, by which the kernel judges its system calls. See credentials(7).

The kernel keeps them per thread. setfsuid() and setfsgid() change only the caller's; the C
library's setresuid() and setgroups() change every thread of the process, so we make these two calls
by number.

A thread that takes another user's credentials for a while is not at that user's mercy: its real and
saved IDs, which stay ours, decide who may signal or trace it, and its effective ID, which is never
a caller's (see callers.py), decides who may slow it down. After the first change the process is not
dumpable, and the thread is not told of its parent's death, see prctl(2).
"""

import ctypes
import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from untorn.errors import os_error

_SETRESUID, _SETGROUPS = {
    "x86_64": (117, 116),
    "aarch64": (147, 159),
    "riscv64": (147, 159),
}.get(platform.machine(), (0, 0))
_CAPABILITY_VERSION_3 = 0x20080522
_Header = ctypes.c_uint32 * 2  # version, thread
_Words = ctypes.c_uint32 * 6  # effective, permitted, inheritable: the low words, then the high ones
_UNCHANGED = 0xFFFFFFFF  # (uid_t)-1

# They take a microsecond each and never sleep; to take the GIL again would take longer.
_libc = ctypes.PyDLL(None, use_errno=True)
_setresuid = _libc["syscall"]
_setresuid.argtypes = ctypes.c_long, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint
_setgroups = _libc["syscall"]
_setgroups.argtypes = ctypes.c_long, ctypes.c_size_t, ctypes.c_void_p
for _set in _libc.setfsuid, _libc.setfsgid:
    _set.argtypes = (ctypes.c_uint,)
    _set.restype = ctypes.c_uint


class Capabilities(NamedTuple):
    """Sets of capabilities, one bit each. See capabilities(7)."""

    effective: int
    permitted: int
    inheritable: int


class Credentials(NamedTuple):
    """What the kernel checks when a thread opens or reads a file."""

    euid: int
    uid: int
    """The fsuid, which is the euid unless it was set."""
    gid: int
    """The fsgid."""
    groups: tuple[int, ...]
    """Supplementary groups, sorted."""
    capabilities: Capabilities


def own_credentials() -> Credentials:
    """Return the credentials of this thread, whose fsuid and fsgid are its effective IDs."""
    euid = os.geteuid()
    return Credentials(euid, euid, os.getegid(), _groups(), capget(0))


def capget(tid: int) -> Capabilities:
    """Return the capabilities of a thread; 0 means this one.

    Raises:
        OSError: ESRCH if the thread is gone. Source: capget(2).
    """
    words = _Words()
    _check(_libc.capget(_Header(_CAPABILITY_VERSION_3, tid), words))
    return Capabilities(
        words[0] | words[3] << 32, words[1] | words[4] << 32, words[2] | words[5] << 32
    )


@contextmanager
def changed(own: Credentials, wanted: Credentials) -> Iterator[None]:
    """Give this thread other credentials inside a with statement.

    The code inside must not start a thread or a process: it would keep them. If the thread cannot
    get its own credentials back, the process exits rather than continue as somebody else.

    Args:
        own: What the thread has, and gets back at the end.
        wanted: What it should have; the permitted and inheritable sets must be its own.

    Raises:
        OSError: EPERM without CAP_SETUID or CAP_SETGID; EINVAL for an ID that this user namespace
            lacks; ENOMEM; ENOSYS on a machine whose system call numbers we do not know. Nothing is
            changed in these cases.
    """
    if not _SETRESUID:
        raise os_error(errno.ENOSYS)
    try:
        _take(own, wanted)
        yield
    finally:
        _give_back(own)


def _take(own: Credentials, wanted: Credentials) -> None:
    if wanted.groups != own.groups:
        _set_groups(wanted.groups)
    if wanted.gid != own.gid:
        _set_fs_id(_libc.setfsgid, wanted.gid)
    if wanted.euid != own.euid:
        _check(_setresuid(_SETRESUID, _UNCHANGED, wanted.euid, _UNCHANGED))
        _capset(own.capabilities)  # it was root: the kernel has cleared the effective capabilities
    _set_fs_id(_libc.setfsuid, wanted.uid)
    _capset(wanted.capabilities)  # last: setfsuid() drops some of root's, and gives some back


def _give_back(own: Credentials) -> None:
    """Undo _take(), whole or in part."""
    try:
        _check(_setresuid(_SETRESUID, _UNCHANGED, own.euid, _UNCHANGED))  # the fsuid follows
        _capset(own.capabilities)
        _set_fs_id(_libc.setfsgid, own.gid)
        if _groups() != own.groups:
            _set_groups(own.groups)
    except BaseException:
        os.write(2, b"untorn: a thread cannot have its own credentials back\n")
        os.abort()


def _groups() -> tuple[int, ...]:
    return tuple(sorted(os.getgroups()))


def _set_groups(groups: tuple[int, ...]) -> None:
    _check(_setgroups(_SETGROUPS, len(groups), (ctypes.c_uint32 * len(groups))(*groups)))


def _set_fs_id(set_id: "ctypes._NamedFuncPointer", number: int) -> None:
    """Call setfsuid() or setfsgid(), which report no error but return the previous ID."""
    set_id(number)
    if set_id(number) != number:
        raise os_error(errno.EPERM)


def _capset(capabilities: Capabilities) -> None:
    low = (each & 0xFFFFFFFF for each in capabilities)
    high = (each >> 32 for each in capabilities)
    _check(_libc.capset(_Header(_CAPABILITY_VERSION_3, 0), _Words(*low, *high)))


def _check(result: int) -> None:
    if result == -1:
        raise os_error(ctypes.get_errno())
