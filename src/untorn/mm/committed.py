"""The memory that is committed to all processes of a machine, for vm.overcommit_memory=2.

Compare mm/util.c:__vm_enough_memory() and its counter vm_committed_as. Linux keeps a part of that
counter on each CPU and adds up what the CPUs have reported so far, so its sum may be off by
mm/mm_init.c:mm_compute_batch() pages per CPU. Here the number is exact.
"""

from untorn.locking import sync


class VmCommitted:
    """How many pages are committed to all processes that share this object.

    A call first tests the number and adds to it later. Linux adds first and subtracts again if that
    was too much. So two concurrent calls of two processes may both succeed here even if only one of
    them fits.

    Attributes:
        pages: The pages of writable private mappings and of unnamed shared memory.
    """

    __slots__ = ("pages",)

    def __init__(self, pages: int = 0) -> None:
        self.pages = sync.AtomicInt(pages)


class CommittedFile:
    """An unnamed shared memory file, whose size is committed until no VMA maps it any more."""

    __slots__ = ("_committed", "_pages", "_users")

    def __init__(self, committed: VmCommitted, pages: int) -> None:
        self._committed = committed
        self._pages = pages
        self._users = sync.AtomicInt(0)
        committed.pages.add(pages)

    def get(self) -> None:
        """Count one more VMA."""
        self._users.add(1)

    def put(self) -> None:
        """Count one VMA less."""
        if not self._users.add(-1):
            self._committed.pages.add(-self._pages)
