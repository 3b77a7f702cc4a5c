"""By what credentials callers are judged.

A caller's own rights go as far as ours do: it has no capability that we have not. What else is
stricter than on /proc, and never laxer:

- A caller in another user namespace has no capability in ours, though it may have one over some
  of our files; what it may see of processes there is said in user_namespaces.py.
- So has one that a security module knows by another label than ours, unless it is unconfined:
  AppArmor or SELinux might refuse it what they let us do.
- One that is not seen from our PID namespace has its user id, and nothing else.

Two things a caller might do are not noticed: to confine itself by Landlock, and to ask by a thread
of io_uring that it made before it gave capabilities away.
"""

from collections.abc import Sequence
from typing import NamedTuple

from untorn.serve.caller.rights import (
    NOBODY,
    Rights,
    is_unconfined,
    label_of,
    rights_of,
    text_of,
    user_namespace_of,
)
from untorn.serve.caller.thread_credentials import Credentials, capget, own_credentials
from untorn.serve.caller.user_namespaces import CAP_SYS_PTRACE, may_trace_across
from untorn.serve.fuse.node import Caller

_LAST = 0xFFFFFFFE  # of all ids


class Subject(NamedTuple):
    """A process that a caller asks about."""

    pid: int
    directory: int
    """Its directory of procfs, or that of one of its threads: an open descriptor."""


class Callers:
    """Finds out who callers are. May be used by any thread.

    A caller sleeps until it has its answer, and nobody else can change a thread's rights: what is
    read of them here is what the kernel would have judged by.

    Args:
        proc: A descriptor of the procfs that tells who callers are. It stays the owner's.

    Attributes:
        own: Our own credentials.
    """

    # Nothing is changed after __init__().
    __slots__ = ("_label", "_namespace", "_proc", "_strange_gid", "_strange_uid", "own")

    def __init__(self, proc: int) -> None:
        self.own = own_credentials()
        self._proc = proc
        self._namespace, self._label = user_namespace_of(proc, "self"), label_of(proc, "self")
        self._strange_uid = _last_id(text_of(proc, "self/uid_map"))
        self._strange_gid = _last_id(text_of(proc, "self/gid_map"))

    def credentials_of(self, caller: Caller, subject: Subject | None = None) -> Credentials:
        """Return what a thread must have to be judged as a caller; our own if it has our rights.

        Args:
            caller: Who asks.
            subject: Which process about; None for no certain one.
        """
        return self.own if self.has_our_rights(caller) else self._others(caller, subject)

    def has_our_rights(self, caller: Caller) -> bool:
        """Tell whether a caller may do what we may: by far the most are root, as we are.

        With CAP_SYS_PTRACE nothing on procfs depends on supplementary groups.

        Raises:
            OSError: ESRCH if it is gone.
        """
        own, tid = self.own, caller.tid
        ours = own.capabilities.effective
        if not tid or not ours & CAP_SYS_PTRACE or caller[:2] != (own.uid, own.gid):
            return False
        if ours & ~capget(tid).effective:
            return False
        if user_namespace_of(self._proc, str(tid)) != self._namespace:
            return False
        return self._may_be_judged(tid)

    def _may_be_judged(self, tid: int) -> bool:
        """Tell whether a security module lets a caller do what it lets us do.

        Raises:
            OSError: ESRCH or ENOENT if it is gone.
        """
        if not self._label:  # no module here has labels
            return True
        label = label_of(self._proc, str(tid))
        return label == self._label or is_unconfined(label)

    def _others(self, caller: Caller, subject: Subject | None) -> Credentials:
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
            self.own.capabilities._replace(effective=0),
        )
        rights = self._rights(caller)
        if rights is None:
            return stranger
        judged = self._may_be_judged(caller.tid)
        may_trace = subject is not None and self._may_trace(rights, subject, judged=judged)
        granted = CAP_SYS_PTRACE if may_trace else 0
        if rights.user_namespace != self._namespace or not judged:
            groups = tuple(sorted({*self._groups(rights), caller.gid}))
            return self._with(stranger._replace(groups=groups), granted)
        same = rights.uids.effective == self.own.euid
        euid = self.own.euid if same else self._strange_uid
        groups = tuple(self._groups(rights))
        known = Credentials(euid, caller.uid, caller.gid, groups, self.own.capabilities)
        return self._with(known, rights.effective | granted)

    def _groups(self, rights: Rights) -> Sequence[int]:
        """Return the supplementary groups without what may stand for one that we do not know."""
        if self._strange_gid == _LAST:  # all that there are
            return rights.groups
        return [group for group in rights.groups if group != NOBODY]

    def _with(self, credentials: Credentials, effective: int) -> Credentials:
        own = self.own.capabilities
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

    def _may_trace(self, asker: Rights, subject: Subject, *, judged: bool) -> bool:
        """Tell whether ptrace's check lets it for a reason that the kernel cannot see in us."""
        if asker.tgid == subject.pid:
            return True  # every process may look at itself
        if not judged:
            return False
        try:
            theirs = user_namespace_of(subject.directory)
            if asker.user_namespace == theirs == self._namespace:
                return False
            return may_trace_across(asker, subject.directory)
        except OSError:
            return False  # it is gone, or we may not trace it ourselves


def _last_id(id_map: bytes) -> int:
    """Return the last id that our user namespace has, which is nobody's.

    Args:
        id_map: Text of uid_map or gid_map. See user_namespaces(7).
    """
    ranges = (map(int, line.split()) for line in id_map.splitlines())
    return max(first + count - 1 for first, _outside, count in ranges)
