"""What /proc knows of a process: its mm, whether it still exists, who may look.

Compare fs/proc/base.c:get_proc_task() and proc_mem_open().
"""

from untorn.mm.mm_types import MmStruct


class ProcTask:
    """A process as /proc sees it.

    Attributes:
        mm: None for a kernel thread. Replaced by an exec; files opened before stay with the old.
        reaped: Its parent has waited for it: nothing of it is left. Set once.
        ptrace_allowed: Whether the opener passes the ptrace access check (PTRACE_MODE_READ).
    """

    __slots__ = ("mm", "ptrace_allowed", "reaped")

    def __init__(self, mm: MmStruct | None) -> None:
        self.mm = mm
        self.reaped = False
        self.ptrace_allowed = True
