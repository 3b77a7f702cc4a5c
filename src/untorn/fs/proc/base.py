"""A process as /proc sees it: its mm, whether it still exists, and the rights of the opener.

Compare fs/proc/base.c:get_proc_task() and proc_mem_open().
"""

import errno

from untorn.errors import os_error
from untorn.mm.calls.exit import mmput
from untorn.mm.mempolicy import Mempolicy
from untorn.mm.mm_types import MmStruct, mmget_not_zero, mmgrab


class ProcTask:
    """A process as /proc sees it.

    Attributes:
        mm: None for a kernel thread. Exec replaces it; files that were opened before keep the old
            one.
        mempolicy: The memory policy of the task, or None for the default.
        reaped: Its parent has waited for it, so the process is gone. Set once.
        cap_sys_admin: Whether the opener may see the frames of pages.
        ptrace_allowed: Whether the opener passes the ptrace access check (PTRACE_MODE_READ).
    """

    __slots__ = ("cap_sys_admin", "mempolicy", "mm", "ptrace_allowed", "reaped")

    def __init__(self, mm: MmStruct | None) -> None:
        self.mm = mm
        self.mempolicy: Mempolicy | None = None
        self.reaped = False
        self.cap_sys_admin = True
        self.ptrace_allowed = True


def proc_mem_open(task: ProcTask) -> MmStruct | None:
    """Return the task's mm with a reference in mm_count, or None if it has no users left.

    Raises:
        OSError: ENOENT if the process was reaped, EACCES if the opener may not look into it.

    Compare fs/proc/base.c:proc_mem_open().
    """
    if task.reaped:
        raise os_error(errno.ENOENT)
    if not task.ptrace_allowed:
        raise os_error(errno.EACCES)
    mm = task.mm
    if mm is None or not mmget_not_zero(mm):
        return None
    mmgrab(mm)
    mmput(mm)
    return mm
