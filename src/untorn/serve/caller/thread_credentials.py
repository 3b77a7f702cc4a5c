"""The credentials of one thread: what the kernel judges its system calls by. See credentials(7).

The kernel keeps them by thread. setfsuid() and setfsgid() change them so; the C library's
setresuid() and setgroups() tell every thread of the process, so these two are called by number.

A thread that looks like another user for a while is not at that user's mercy: who may signal or
trace it goes by its real and saved ids, which stay ours, and who may slow it down by its effective
id, which no caller lends us (see callers.py). From then on the process may not be dumped, and the
thread is not told of its parent's death, see prctl(2).
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
_Words = ctypes.c_uint32 * 6  # effective, permitted, inheritable: the low words, the high ones
_UNCHANGED = 0xFFFFFFFF  # (uid_t)-1

# They take a microsecond each and never sleep: waiting for the GIL after each would take longer.
_libc = ctypes.PyDLL(None, use_errno=True)
_setresuid = _libc["syscall"]
_setresuid.argtypes = ctypes.c_long, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint
_setgroups = _libc["syscall"]
_setgroups.argtypes = ctypes.c_long, ctypes.c_size_t, ctypes.c_void_p
for _set in _libc.setfsuid, _libc.setfsgid:
    _set.argtypes = (ctypes.c_uint,)
    _set.restype = ctypes.c_uint


class Capabilities(NamedTuple):
    """Sets of capabilities, a bit each. See capabilities(7)."""

    effective: int
    permitted: int
    inheritable: int


class Credentials(NamedTuple):
    """What the kernel compares when a thread opens or reads a file."""

    euid: int
    uid: int
    """The fsuid, which is the euid unless somebody asked for another."""
    gid: int
    """The fsgid."""
    groups: tuple[int, ...]
    """Supplementary groups, sorted."""
    capabilities: Capabilities


def own_credentials() -> Credentials:
    """Return those of this thread, whose fsuid and fsgid are its effective ids."""
    euid = os.geteuid()
    return Credentials(euid, euid, os.getegid(), _groups(), capget(0))


def capget(tid: int) -> Capabilities:
    """Return the capabilities of a thread, 0 for this one.

    Raises:
        OSError: ESRCH if it is gone. Source: capget(2).
    """
    words = _Words()
    _check(_libc.capget(_Header(_CAPABILITY_VERSION_3, tid), words))
    return Capabilities(
        words[0] | words[3] << 32, words[1] | words[4] << 32, words[2] | words[5] << 32
    )


@contextmanager
def changed(own: Credentials, wanted: Credentials) -> Iterator[None]:
    """Give this thread other credentials for the while of a with statement.

    What is in it must not start a thread or a process: they would keep them. The process is ended
    if the thread cannot have its own back: it would go on as somebody else.

    Args:
        own: What the thread has, and has again afterwards.
        wanted: What it is to have; the permitted and the inheritable set must be its own.

    Raises:
        OSError: EPERM without CAP_SETUID or CAP_SETGID; EINVAL for an id that this user namespace
            does not have; ENOMEM; ENOSYS on a machine whose system calls we do not know. Nothing
            is changed then.
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
        _capset(own.capabilities)  # it was root: the kernel has taken the effective ones away
    _set_fs_id(_libc.setfsuid, wanted.uid)
    _capset(wanted.capabilities)  # last: setfsuid() takes some away from root, and gives some back


def _give_back(own: Credentials) -> None:
    """Undo what _take() did, whole or in part."""
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
    """Call setfsuid() or setfsgid(), which tell no error but the id that there was before."""
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
