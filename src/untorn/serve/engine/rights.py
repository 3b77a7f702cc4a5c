"""Who may look into a guest, as in Linux. Compare kernel/ptrace.c:__ptrace_may_access()."""

import errno
from enum import IntFlag
from pathlib import Path

from untorn.errors import os_error
from untorn.serve.caller.thread_credentials import capget
from untorn.serve.engine.guest import Guest
from untorn.serve.fuse.node import Caller


class Capabilities(IntFlag):
    """The capabilities that matter. Source: capabilities(7), include/uapi/linux/capability.h."""

    DAC_OVERRIDE = 1 << 1
    DAC_READ_SEARCH = 1 << 2
    SYS_PTRACE = 1 << 19
    SYS_ADMIN = 1 << 21
    PERFMON = 1 << 38


_READS_ANYTHING = Capabilities.DAC_OVERRIDE | Capabilities.DAC_READ_SEARCH
_LOOKS_AT_VMAS = Capabilities.SYS_PTRACE | Capabilities.SYS_ADMIN | Capabilities.PERFMON


def check_looks_at_vmas(guest: Guest, caller: Caller, proc: str) -> None:
    """Raise OSError EACCES if a caller may not read the maps of a guest."""
    if not _owns(guest, caller) and not capabilities_of(caller, proc) & _LOOKS_AT_VMAS:
        raise os_error(errno.EACCES)


def check_looks_at_pages(guest: Guest, caller: Caller, proc: str) -> None:
    """Raise OSError EACCES if a caller may not read the pagemap of a guest, whose mode is 0400."""
    if _owns(guest, caller):
        return
    has = capabilities_of(caller, proc)
    if not has & Capabilities.SYS_PTRACE or not (caller.uid == guest.uid or has & _READS_ANYTHING):
        raise os_error(errno.EACCES)


def capabilities_of(caller: Caller, proc: str) -> Capabilities:
    """Return its capabilities in our user namespace; none if it is in another one.

    The caller sleeps meanwhile, so its TID cannot be reused.

    Args:
        caller: The caller.
        proc: Where procfs is mounted.
    """
    theirs, ours = (Path(proc, str(who), "ns/user") for who in (caller.tid, "self"))
    try:
        if theirs.samefile(ours):
            return Capabilities(capget(caller.tid).effective)
    except OSError:  # it is not in our PID namespace, or above our user namespace
        pass
    return Capabilities(0)


def _owns(guest: Guest, caller: Caller) -> bool:
    return (caller.uid, caller.gid) == (guest.uid, guest.gid)
