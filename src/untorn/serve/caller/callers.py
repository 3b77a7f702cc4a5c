"""The credentials by which callers are judged.

A caller's rights never exceed ours: it has no capability that we lack. In some other points we are
stricter than /proc, and never laxer:

- A caller in another user namespace has no capability in ours, though it may have one over some of
  our files; user_namespaces.py says what it may see of processes there.
- Nor has a caller with a security label other than ours, unless it is unconfined: AppArmor or
  SELinux might refuse it what they allow us.
- A caller that is not visible in our PID namespace has its user ID, and nothing else.

Two things that a caller might do go unnoticed: confine itself by Landlock, or ask from an io_uring
thread that it created before it dropped capabilities.
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

_LAST = 0xFFFFFFFE  # of all IDs


class Subject(NamedTuple):
    """A process that a caller asks about."""

    pid: int
    directory: int
    """Its directory in procfs, or that of one of its threads: an open descriptor."""


class Callers:
    """Finds the credentials of callers. Any thread may use it.

    A caller sleeps until it has its answer, and no other thread can change its rights: what we read
    of them here is what the kernel would have used.

    Args:
        proc: A descriptor of the procfs that shows callers. The owner keeps it.

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
        """Return the credentials of a thread that is judged as a caller; ours if it has our rights.

        Args:
            caller: The caller.
            subject: The process that it asks about; None for no particular one.
        """
        return self.own if self.has_our_rights(caller) else self._others(caller, subject)

    def has_our_rights(self, caller: Caller) -> bool:
        """Return whether a caller may do what we may: most callers are root, as we are.

        With CAP_SYS_PTRACE nothing in procfs depends on supplementary groups.

        Raises:
            OSError: ESRCH if the caller is gone.
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
        """Return whether a security module allows a caller what it allows us.

        Raises:
            OSError: ESRCH or ENOENT if the caller is gone.
        """
        if not self._label:  # no module here uses labels
            return True
        label = label_of(self._proc, str(tid))
        return label == self._label or is_unconfined(label)

    def _others(self, caller: Caller, subject: Subject | None) -> Credentials:
        """Return the credentials to be judged as a caller that lacks our rights.

        They must not have our effective user ID: the creator of a user namespace has all
        capabilities in it, and callers did not create those that we, as root, have created. Nor the
        caller's: it could then slow our thread down, see sched_setaffinity(2). So we take the last
        ID that exists.
        """
        stranger = Credentials(
            self._strange_uid,
            caller.uid,
            self._strange_gid,  # ptrace's check must not see the same user
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
        """Return the supplementary groups without any that could stand for an unknown one."""
        if self._strange_gid == _LAST:  # all groups that exist
            return rights.groups
        return [group for group in rights.groups if group != NOBODY]

    def _with(self, credentials: Credentials, effective: int) -> Credentials:
        own = self.own.capabilities
        return credentials._replace(capabilities=own._replace(effective=effective & own.permitted))

    def _rights(self, caller: Caller) -> Rights | None:
        """Return the rights of the caller's thread; None if it asks with other rights than these.

        An io_uring thread asks with the rights of another one.
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
        """Return whether ptrace's check allows it for a reason that the kernel cannot see in us."""
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
    """Return the last ID of our user namespace, which no process has.

    Args:
        id_map: The text of uid_map or gid_map. See user_namespaces(7).
    """
    ranges = (map(int, line.split()) for line in id_map.splitlines())
    return max(first + count - 1 for first, _outside, count in ranges)
