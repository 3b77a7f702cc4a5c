"""The kernel judges who asks: a thread of ours opens and reads files with the caller's rights.

So what it says is right for every release: which capability, which ids, dumpable or not, hidepid.

A caller's own rights go as far as ours do: it has no capability that we have not, and where we may
not become another user it is refused. What else is stricter than on /proc, and never laxer:

- A caller in another user namespace has no capability in ours, though it may have one over some
  of our files; what it may see of processes there is said in user_namespaces.py.
- So has one that a security module knows by another label than ours, unless it is unconfined:
  AppArmor or SELinux might refuse it what they let us do.
- One that is not seen from our PID namespace has its user id, and nothing else.
- Our own process is shown to those only who have at least our rights: the kernel would take any
  look at it for one that we have at ourselves.

Two things a caller might do are not noticed: to confine itself by Landlock, and to ask by a thread
of io_uring that it made before it gave capabilities away.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from untorn.errors import os_error
from untorn.serve.caller.rights import (
    NOBODY,
    Rights,
    is_unconfined,
    label_of,
    rights_of,
    text_of,
    user_namespace_of,
)
from untorn.serve.caller.thread_credentials import Credentials, capget, changed, own_credentials
from untorn.serve.caller.user_namespaces import CAP_SYS_PTRACE, may_trace_across
from untorn.serve.fuse.node import Caller

_LAST = 0xFFFFFFFE  # of all ids
_CAP_SETGID, _CAP_SETUID = 1 << 6, 1 << 7


class Watched(NamedTuple):
    """A process that a caller asks about."""

    pid: int
    directory: int
    """Its directory of procfs, or that of one of its threads: an open descriptor."""


class Deputy:
    """Acts as callers. Any number of threads may, each for its own caller.

    A caller sleeps until it has its answer, and nobody else can change a thread's rights: what is
    read of them here is what the kernel would have judged by.

    Args:
        proc: A descriptor of the procfs that tells who callers are. It stays the owner's.
    """

    # Nothing is changed after __init__().
    __slots__ = (
        "_label",
        "_may_act",
        "_namespace",
        "_own",
        "_pid",
        "_proc",
        "_strange_gid",
        "_strange_uid",
    )

    def __init__(self, proc: int) -> None:
        self._proc = proc
        self._own = own_credentials()
        own = self._own.capabilities.effective
        self._may_act = bool(own & _CAP_SETUID and own & _CAP_SETGID)
        self._pid = int(os.readlink("self", dir_fd=proc))
        self._namespace, self._label = user_namespace_of(proc, "self"), label_of(proc, "self")
        self._strange_uid = _last_id(text_of(proc, "self/uid_map"))
        self._strange_gid = _last_id(text_of(proc, "self/gid_map"))

    def acting_as(
        self, caller: Caller, watched: Watched | None = None
    ) -> AbstractContextManager[None]:
        """Give this thread a caller's rights for the while of a with statement: see acting_with().

        Args:
            caller: Who asks.
            watched: Which process about; None for no certain one.

        Raises:
            OSError: EACCES if we may not act as the caller, or the process is our own and it has
                not our rights; ENOMEM.
        """
        credentials = self.credentials_of(caller, watched)
        if watched and watched.pid == self._pid and credentials != self._own:
            raise os_error(errno.EACCES)
        return self.acting_with(credentials)

    def acting_with(self, credentials: Credentials) -> AbstractContextManager[None]:
        """Give this thread other credentials for the while of a with statement.

        In it, make system calls on files of the process and nothing else: start no thread and no
        process, import nothing.

        Raises:
            OSError: EACCES if we may not have them; ENOMEM.
        """
        if credentials == self._own:
            return nullcontext()
        if not self._may_act:
            raise os_error(errno.EACCES)
        return changed(self._own, credentials)

    def credentials_of(self, caller: Caller, watched: Watched | None = None) -> Credentials:
        """Return what a thread must have to be judged as a caller; our own if it has our rights.

        Args:
            caller: Who asks.
            watched: Which process about; None for no certain one.
        """
        return self._own if self.has_our_rights(caller) else self._others(caller, watched)

    def has_our_rights(self, caller: Caller) -> bool:
        """Tell whether a caller may do what we may: by far the most are root, as we are.

        With CAP_SYS_PTRACE nothing on procfs depends on supplementary groups.

        Raises:
            OSError: ESRCH if it is gone.
        """
        own, tid = self._own, caller.tid
        ours = own.capabilities.effective
        if not tid or not ours & CAP_SYS_PTRACE or caller[:2] != (own.uid, own.gid):
            return False
        if ours & ~capget(tid).effective:
            return False
        if user_namespace_of(self._proc, str(tid)) != self._namespace:
            return False
        return not self._label or self._may_be_judged(label_of(self._proc, str(tid)))

    def open_as(self, caller: Caller, watched: Watched, name: str, flags: int = os.O_RDONLY) -> int:
        """Open a file of a process, or not, as the kernel would for a caller.

        Returns:
            The descriptor.

        Raises:
            OSError: as open(2) and acting_as(): EACCES, EPERM (hidepid=1), ENOENT, ESRCH.
        """
        with self.acting_as(caller, watched):
            return os.open(name, flags | os.O_CLOEXEC, dir_fd=watched.directory)

    def read_as(self, caller: Caller, watched: Watched, file: int, size: int, offset: int) -> bytes:
        """Read an open file of a process: some are judged, or masked, at each read.

        Raises:
            OSError: as pread(2) and acting_as(): EACCES (io), ESRCH.
        """
        with self.acting_as(caller, watched):
            return os.pread(file, size, offset)

    def check_open(self, caller: Caller, watched: Watched, name: str) -> None:
        """Open a file of a process as a caller would, and close it. Raises OSError as open_as()."""
        os.close(self.open_as(caller, watched, name))

    def _may_be_judged(self, label: bytes) -> bool:
        """Tell whether a security module lets who has this label do what it lets us do."""
        return label == self._label or is_unconfined(label)

    def _others(self, caller: Caller, watched: Watched | None) -> Credentials:
        """Return what a thread must have to be judged as a caller that has not our rights.

        Our effective user id is kept from it: who made a user namespace has all capabilities there,
        and callers did not make those that we, as root, have made. Nor has it the caller's, who
        could slow our thread down then; see sched_setaffinity(2). It is the last one that there is.
        """
        stranger = Credentials(
            self._strange_uid,
            caller.uid,
            self._strange_gid,  # so that it is not the same user to ptrace's check
            (caller.gid,),
            self._own.capabilities._replace(effective=0),
        )
        rights = self._rights(caller)
        if rights is None:
            return stranger
        groups = tuple(sorted({*self._groups(rights), caller.gid}))
        may_trace = watched is not None and self._may_trace(rights, watched)
        granted = CAP_SYS_PTRACE if may_trace else 0
        if rights.user_namespace != self._namespace or not self._may_be_judged(rights.label):
            return self._with(stranger._replace(groups=groups), granted)
        same = rights.uids.effective == self._own.euid
        euid = self._own.euid if same else self._strange_uid
        groups = tuple(self._groups(rights))
        known = Credentials(euid, caller.uid, caller.gid, groups, self._own.capabilities)
        return self._with(known, rights.effective | granted)

    def _groups(self, rights: Rights) -> Sequence[int]:
        """Return the supplementary groups without what may stand for one that we do not know."""
        if self._strange_gid == _LAST:  # all that there are
            return rights.groups
        return [group for group in rights.groups if group != NOBODY]

    def _with(self, credentials: Credentials, effective: int) -> Credentials:
        own = self._own.capabilities
        return credentials._replace(capabilities=own._replace(effective=effective & own.permitted))

    def _rights(self, caller: Caller) -> Rights | None:
        """Return the rights of the caller's thread; None if these are not those it asks with.

        A thread of io_uring asks with those of another.
        """
        if not caller.tid:
            return None
        try:
            rights = rights_of(self._proc, str(caller.tid))
        except OSError:
            return None
        ids = rights.uids.file_system, rights.gids.file_system
        return rights if ids == (caller.uid, caller.gid) else None

    def _may_trace(self, asker: Rights, watched: Watched) -> bool:
        """Tell whether ptrace's check lets it for a reason that the kernel cannot see in us."""
        if asker.tgid == watched.pid:
            return True  # every process may look at itself
        if not self._may_be_judged(asker.label):
            return False
        try:
            theirs = user_namespace_of(watched.directory)
            if asker.user_namespace == theirs == self._namespace:
                return False
            return may_trace_across(asker, watched.directory)
        except OSError:
            return False  # it is gone, or we may not trace it ourselves


def _last_id(id_map: bytes) -> int:
    """Return the last id that our user namespace has, which is nobody's.

    Args:
        id_map: Text of uid_map or gid_map. See user_namespaces(7).
    """
    ranges = (map(int, line.split()) for line in id_map.splitlines())
    return max(first + count - 1 for first, _outside, count in ranges)
