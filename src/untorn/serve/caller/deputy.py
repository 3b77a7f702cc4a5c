"""The kernel judges who asks: a thread of ours opens and reads files with the caller's rights.

So what it says is right for every release: which capability, which ids, dumpable or not, hidepid.
Where we may not become another user, that is refused. So is who asks about our own process and has
not our rights: the kernel would take the look for one of ours at ourselves.
"""

import errno
import os
from contextlib import AbstractContextManager, nullcontext

from untorn.errors import os_error
from untorn.serve.caller.callers import Callers, Subject
from untorn.serve.caller.thread_credentials import Credentials, changed
from untorn.serve.fuse.node import Caller

_CAP_SETGID, _CAP_SETUID = 1 << 6, 1 << 7


class Deputy:
    """Acts as callers. Any number of threads may, each for its own caller.

    Args:
        proc: A descriptor of the procfs that tells who callers are. It stays the owner's.
    """

    # Nothing is changed after __init__().
    __slots__ = ("_callers", "_may_act", "_own", "_pid")

    def __init__(self, proc: int) -> None:
        self._callers = Callers(proc)
        self._own = self._callers.own
        own = self._own.capabilities.effective
        self._may_act = bool(own & _CAP_SETUID and own & _CAP_SETGID)
        self._pid = int(os.readlink("self", dir_fd=proc))

    def has_our_rights(self, caller: Caller) -> bool:
        """Tell whether a caller may do what we may. Raises OSError ESRCH if it is gone."""
        return self._callers.has_our_rights(caller)

    def credentials_of(self, caller: Caller) -> Credentials:
        """Return by what a caller is judged, to be kept; not what it may of a certain process."""
        return self._callers.credentials_of(caller)

    def acting_as(
        self, caller: Caller, subject: Subject | None = None
    ) -> AbstractContextManager[None]:
        """Give this thread a caller's rights for the while of a with statement: see acting_with().

        Args:
            caller: Who asks.
            subject: Which process about; None for no certain one.

        Raises:
            OSError: EACCES if we may not act as the caller, or the process is our own and it has
                not our rights; ENOMEM.
        """
        credentials = self._callers.credentials_of(caller, subject)
        if subject and subject.pid == self._pid and credentials != self._own:
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
