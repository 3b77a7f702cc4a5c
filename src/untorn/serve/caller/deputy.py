"""Let the kernel judge callers: a thread of ours opens and reads files with the caller's rights.

So the result is right for every release: capabilities, IDs, dumpable or not, hidepid. If we may not
become another user, the call is refused. So is a caller without our rights that asks about our own
process: the kernel would see a look at ourselves.
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
    """Acts as callers. Several threads may use it, each for its own caller.

    Args:
        proc: A descriptor of the procfs that shows callers. The owner keeps it.
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
        """Return whether a caller may do what we may. Raises OSError ESRCH if it is gone."""
        return self._callers.has_our_rights(caller)

    def credentials_of(self, caller: Caller) -> Credentials:
        """Return a caller's credentials, to keep; not its rights over a particular process."""
        return self._callers.credentials_of(caller)

    def acting_as(
        self, caller: Caller, subject: Subject | None = None
    ) -> AbstractContextManager[None]:
        """Give this thread a caller's rights inside a with statement: see acting_with().

        Args:
            caller: The caller.
            subject: The process that it asks about; None for no particular one.

        Raises:
            OSError: EACCES if we may not act as the caller, or if the process is our own and the
                caller lacks our rights; ENOMEM.
        """
        credentials = self._callers.credentials_of(caller, subject)
        if subject and subject.pid == self._pid and credentials != self._own:
            raise os_error(errno.EACCES)
        return self.acting_with(credentials)

    def acting_with(self, credentials: Credentials) -> AbstractContextManager[None]:
        """Give this thread other credentials inside a with statement.

        Inside, make system calls on files of the process and nothing else: start no thread or
        process, import nothing.

        Raises:
            OSError: EACCES if we may not have them; ENOMEM.
        """
        if credentials == self._own:
            return nullcontext()
        if not self._may_act:
            raise os_error(errno.EACCES)
        return changed(self._own, credentials)
