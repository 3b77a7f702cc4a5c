"""MmStruct: one address space, and the counts that keep it alive."""

from untorn.errors import InvariantError
from untorn.locking import lockdep, sync
from untorn.locking.rwsem import RwSemaphore
from untorn.maps.page import PAGE_SHIFT, PMD_SIZE, TASK_SIZE, UINT_MAX, ULONG_MAX, page_aligned
from untorn.mm.limits import Limits
from untorn.mm.mman import VM_EXEC, VM_GROWSDOWN, VM_LOCKED, VM_SHARED, VM_WRITE
from untorn.mm.mmap_layout import legacy_base
from untorn.mm.page_table import PageTable
from untorn.mm.rcuwait import RcuWait
from untorn.mm.tree.vma_tree import VmaTree
from untorn.mm.vma import Vma, VmaSlab, vm_area_cachep

MMAP_LOCK = lockdep.LockClass("mmap_lock")


class MmStruct:
    """An address space.

    Readable without a lock:
        mm_lock_seq      32 bits, wraps; odd while mmap_lock is write-held; written by its holder
        mm_mt            the VMA tree; written under mmap_lock (write)
        vma_writer_wait  where the one task that may wait for VMA readers sleeps: the holder of
                         mmap_lock (write). Gone once mm_count is 0.
        mm_users         tasks that use the address space; 0: it is being, or was, torn down
        mm_count         references to this structure; mm_users > 0 counts as one

    Protected by mmap_lock:
        map_count        VMAs in mm_mt
        total_vm, data_vm, exec_vm, stack_vm, locked_vm   pages
        locked_vm_excess    pages of locked_vm that no VMA locks: MREMAP_DONTUNMAP unlocks what
                            stays behind but does not count it out
        def_flags        VM_* bits that new mappings get
        start_brk, brk, start_stack, mmap_base            byte addresses
        mmap_legacy_base where the search from the bottom up begins, byte address; never changes
        topdown          mappings are placed from mmap_base down, not up; never changes
        task_size        the first byte address that the process cannot have; never changes
        read_implies_exec   personality(2) has READ_IMPLIES_EXEC, as old 32-bit programs need
        data_size        bytes of the program's own data, which RLIMIT_DATA counts with the heap
        limits           replaced as a whole
        has_drivers      some VMA may be one of driver.py; never changes once others know the mm
    page_table_lock      under mmap_lock (read): protects the first setting of Vma.anon_vma

    page_table           which pages are resident; has a lock of its own, see page_table.py

    Compare include/linux/mm_types.h:struct mm_struct.
    """

    __slots__ = (
        "brk",
        "data_size",
        "data_vm",
        "def_flags",
        "exec_vm",
        "gate_vma",
        "gate_vma_flags",
        "has_drivers",
        "limits",
        "locked_vm",
        "locked_vm_excess",
        "map_count",
        "mm_count",
        "mm_lock_seq",
        "mm_mt",
        "mm_users",
        "mmap_base",
        "mmap_legacy_base",
        "mmap_lock",
        "name",
        "page_table",
        "page_table_lock",
        "read_implies_exec",
        "stack_vm",
        "start_brk",
        "start_stack",
        "task_size",
        "topdown",
        "total_vm",
        "vm_area_cachep",
        "vma_writer_wait",
    )

    def __init__(
        self,
        name: str = "mm",
        *,
        limits: Limits | None = None,
        mmap_base: int = TASK_SIZE - (128 << 20) & -PMD_SIZE,
        mmap_legacy_base: int | None = None,
        topdown: bool = True,
        task_size: int = TASK_SIZE,
        gate_vma: bool = True,
        gate_vma_flags: int = VM_EXEC,
        slab: VmaSlab = vm_area_cachep,
    ) -> None:
        """Make an empty address space with one user.

        Args:
            name: For reports.
            limits: What bounds it; the defaults of Limits if None.
            mmap_base: Byte address below which mappings are placed, top down.
            mmap_legacy_base: Byte address from which on they are placed if there is no room below
                mmap_base; None: a third of task_size.
            topdown: False if they are placed above it, bottom up.
            task_size: TASK_SIZE; for a 32-bit process IA32_PAGE_OFFSET or IA32_PAGE_OFFSET_3GB.
            gate_vma: Whether maps ends with the [vsyscall] line, which no 32-bit process has.
            gate_vma_flags: VM_* flags of that line: VM_EXEC (vsyscall=xonly), or VM_READ | VM_EXEC
                (vsyscall=emulate, and native before Linux 5.3).
            slab: Where its VMA objects come from; others that share it recycle them.
        """
        self.name = name
        self.mmap_lock = RwSemaphore(MMAP_LOCK)
        self.mm_lock_seq = 0
        self.vma_writer_wait = RcuWait()
        self.mm_mt = VmaTree()
        self.mm_users = sync.AtomicInt(1)
        self.mm_count = sync.AtomicInt(1)
        self.page_table = PageTable()
        self.page_table_lock = sync.Mutex()
        self.map_count = 0
        self.total_vm = self.data_vm = self.exec_vm = self.stack_vm = self.locked_vm = 0
        self.locked_vm_excess = self.data_size = 0
        self.def_flags = 0
        self.start_brk = self.brk = self.start_stack = 0
        self.read_implies_exec = False
        self.has_drivers = False
        self.mmap_base = mmap_base
        if mmap_legacy_base is None:
            mmap_legacy_base = legacy_base(task_size)
        self.mmap_legacy_base = mmap_legacy_base
        self.topdown = topdown
        self.limits = limits or Limits()
        self.task_size = task_size
        self.gate_vma = gate_vma
        self.gate_vma_flags = gate_vma_flags
        self.vm_area_cachep = slab

    @property
    def word_max(self) -> int:
        """The largest number that a register of the process holds."""
        return UINT_MAX if self.task_size <= UINT_MAX else ULONG_MAX

    def find_vma(self, addr: int) -> Vma | None:
        """Return the VMA that holds addr, or the next one above.

        Preconditions: mmap_lock held.
        """
        vma: Vma | None = self.mm_mt.find(addr)
        return vma

    def find_vma_prev(self, addr: int) -> Vma | None:
        """Return the last VMA that starts below addr. Preconditions: mmap_lock held."""
        vma: Vma | None = self.mm_mt.find_before(addr)
        return vma

    def check_invariants(self) -> None:
        """Check the tree, each VMA, the page table and all counts against each other.

        Preconditions: mmap_lock held in any mode, so that no writer is half done. Only if it is
            held for write are pages looked for outside of VMAs: an munmap frees them later.

        Raises:
            InvariantError: something contradicts something; the message names both.
        """
        self.mm_mt.check_invariants()
        vmas = []
        for start, end, vma in self.mm_mt:
            self._check_vma(start, end, vma)
            vmas.append(vma)
        if self.map_count != len(vmas):
            raise InvariantError(f"map_count is {self.map_count}, the tree holds {len(vmas)} VMAs")
        totals = count_pages(vmas)
        totals["locked_vm"] += self.locked_vm_excess
        for field, pages in totals.items():
            if getattr(self, field) != pages:
                raise InvariantError(f"{field} is {getattr(self, field)}, VMAs add up to {pages}")
        ranges = [(vma.vm_start, vma.vm_end) for vma in vmas]
        self.page_table.check_invariants(ranges if self.mmap_lock.is_write_locked() else None)

    def _check_vma(self, start: int, end: int, vma: Vma) -> None:
        if (vma.vm_start, vma.vm_end) != (start, end):
            raise InvariantError(f"{vma} stands in the tree as {start:x}-{end:x}")
        if not (page_aligned(start) and page_aligned(end) and end <= self.task_size):
            raise InvariantError(f"{vma} is not whole pages below {self.task_size:x}")
        if vma.vm_mm is not self or vma.vm_refcnt.load() == 0:
            raise InvariantError(f"{vma} is in the tree but not attached to {self}")

    def __repr__(self) -> str:
        return f"<MmStruct {self.name}, {self.map_count} VMAs>"


def vm_stat_account(mm: MmStruct, flags: int, pages: int) -> None:
    """Count pages of a mapping in (or out, if negative). Compare mm/mmap.c:vm_stat_account().

    Preconditions: mmap_lock held for write.
    """
    mm.total_vm += pages
    kind = vm_stat_kind(flags)
    if kind:
        setattr(mm, kind, getattr(mm, kind) + pages)


def vm_stat_kind(flags: int) -> str | None:
    """Name the counter that a mapping with these VM_* flags counts in, besides total_vm."""
    if flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN) == VM_EXEC:
        return "exec_vm"
    if flags & VM_GROWSDOWN:
        return "stack_vm"
    if is_data_mapping(flags):
        return "data_vm"
    return None


def is_data_mapping(flags: int) -> bool:
    """Say whether RLIMIT_DATA counts it: private, writable, not a stack."""
    return flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN) == VM_WRITE


def count_pages(vmas: list[Vma]) -> dict[str, int]:
    """Add the VMAs up into the counters of MmStruct, in pages."""
    totals = dict.fromkeys(("total_vm", "data_vm", "exec_vm", "stack_vm", "locked_vm"), 0)
    for vma in vmas:
        pages = vma.vm_end - vma.vm_start >> PAGE_SHIFT
        totals["total_vm"] += pages
        kind = vm_stat_kind(vma.vm_flags)
        if kind:
            totals[kind] += pages
        if vma.vm_flags & VM_LOCKED:
            totals["locked_vm"] += pages
    return totals


def mmget_not_zero(mm: MmStruct) -> bool:
    """Become a user of mm unless it has none left. Compare include/linux/sched/mm.h."""
    return mm.mm_users.add_not_zero(1)


def mmgrab(mm: MmStruct) -> None:
    """Keep the structure (not its mappings) alive until mmdrop()."""
    mm.mm_count.add(1)


def mmdrop(mm: MmStruct) -> None:
    """Let go of the structure; the last one frees it: to wake its writer then is an error."""
    if mm.mm_count.add(-1) == 0:
        del mm.vma_writer_wait
