"""What memory was promised to all processes of a machine, for vm.overcommit_memory=2.

Compare mm/util.c:__vm_enough_memory() and its counter vm_committed_as. Each CPU has a part of that
counter, and Linux looks at the sum of what the CPUs have told so far: for each CPU it may be off by
mm/mm_init.c:mm_compute_batch() pages. Here the number is exact.
"""

from untorn.locking import sync


class VmCommitted:
    """How many pages are promised, to all processes that share this.

    A call looks at the number first and adds to it later; Linux adds first, and takes back what was
    too much. So of two calls at once, in two processes, both may succeed here though only one fits.

    Attributes:
        pages: Private ones that can be written, and those of shared memory without a name.
    """

    __slots__ = ("pages",)

    def __init__(self, pages: int = 0) -> None:
        self.pages = sync.AtomicInt(pages)


class CommittedFile:
    """Shared memory without a name, whose size is promised until no VMA maps it any more."""

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
