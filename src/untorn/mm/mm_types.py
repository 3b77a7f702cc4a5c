"""The types of an address space: VMAs, what anonymous pages they own, and the whole.

They name one another, so they stand together; what is done with them stands in the modules above.
Beside each field is what protects it. Compare include/linux/mm_types.h.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from untorn.errors import InvariantError
from untorn.locking import lockdep, sync
from untorn.locking.rcuwait import RcuWait
from untorn.locking.rwsem import RwSemaphore
from untorn.maps.page import (
    PAGE_SHIFT,
    PAGE_SIZE,
    PMD_SIZE,
    TASK_SIZE,
    UINT_MAX,
    ULONG_MAX,
    page_aligned,
)
from untorn.mm.committed import VmCommitted
from untorn.mm.file import VmFile, VmOperations
from untorn.mm.hugetlb import HugePool, empty_pools
from untorn.mm.limits import Limits, legacy_base
from untorn.mm.mempolicy import Mempolicy
from untorn.mm.mman import (
    VM_EXEC,
    VM_GROWSDOWN,
    VM_HUGETLB,
    VM_LOCKED,
    VM_SHARED,
    VM_WRITE,
)
from untorn.mm.page_table import PageTable
from untorn.mm.tree.vma_tree import VmaTree
from untorn.releases.release import modelled

MMAP_LOCK = lockdep.LockClass("mmap_lock")
VM_REFCNT_EXCLUDE_READERS_FLAG = 1 << 30
VM_REFCNT_LIMIT = VM_REFCNT_EXCLUDE_READERS_FLAG - 1
SLAB_POISON = 0x6B6B_6B6B_6B6B_6B6B
"""What the bounds of a freed VMA hold: the words that the slab's free list overlays."""


class AnonVma:
    """The identity that pages of related VMAs share.

    Attributes:
        parent: The anon_vma that it was forked from; itself for the first of a family.
        num_children: anon_vmas that name it as their parent, itself included if it is the first.
        num_active_vmas: VMAs whose anon_vma it is.
    """

    __slots__ = ("num_active_vmas", "num_children", "parent")

    def __init__(self, parent: AnonVma | None = None) -> None:
        self.parent = parent or self
        self.num_children = sync.AtomicInt(0)
        self.num_active_vmas = sync.AtomicInt(0)
        self.parent.num_children.add(1)


class Vma:
    """A contiguous range of one address space with one set of attributes.

    The attributes are stable for a task that holds the VMA's read lock, or mmap_lock in any mode.
    They are written only under mmap_lock (write) with the VMA write-locked, unless it says
    otherwise beside them. Anyone may look at the lock state, even of a freed or recycled object.
    """

    __slots__ = (
        "anon_name",
        "anon_vma",
        "anon_vma_chain",
        "resv_map",
        "vm_anon_pgoff",
        "vm_end",
        "vm_file",
        "vm_flags",
        "vm_lock_seq",
        "vm_mm",
        "vm_ops",
        "vm_pgoff",
        "vm_policy",
        "vm_refcnt",
        "vm_start",
    )

    # The lock state. vm_mm is set at allocation and never cleared.
    vm_mm: MmStruct
    # Write-locked if and only if it equals vm_mm.mm_lock_seq. Written under mmap_lock (write) with
    # readers excluded. A new VMA holds UINT_MAX.
    vm_lock_seq: int
    # 0: detached, no reader may come. 1: attached, unlocked or write-locked. 1+n: attached, n
    # readers (or readers about to notice the write lock and leave). With
    # VM_REFCNT_EXCLUDE_READERS_FLAG (FLAG) set a writer waits and the count can only fall: FLAG+1
    # is its cue if attached, FLAG if it is detaching it.
    vm_refcnt: sync.AtomicInt

    # The attributes. Bounds are bytes, the end exclusive.
    vm_start: int
    vm_end: int
    # Pages into vm_file; for private anonymous memory, where it began.
    vm_pgoff: int
    # By what number the first page would be known as the VMA's own: where it was mapped first, for
    # private memory of a file, too. Compare __vm_anon_pgoff.
    vm_anon_pgoff: int
    # VM_* bits. VM_MAYBE_GUARD alone may be set while others read; see vma_set_atomic_flag().
    vm_flags: int
    # The mapped file, or None.
    vm_file: VmFile | None
    # Those of a special mapping, or as the file has them, or None. Never changes once attached.
    vm_ops: VmOperations | None
    # What mbind() set, or None.
    vm_policy: Mempolicy | None
    # What prctl(PR_SET_VMA_ANON_NAME) called it, or None.
    anon_name: bytes | None
    # Both are first set under mmap_lock (read) and mm.page_table_lock; see vmas/rmap.py.
    anon_vma: AnonVma | None
    anon_vma_chain: tuple[AnonVma, ...]
    # Of a private mapping of hugetlbfs that reserved its pages: the numbers, in the file, of those
    # that it has used up; common to the parts of what one mmap made. Else None. Compare
    # include/linux/hugetlb.h:HPAGE_RESV_OWNER. What is in it is protected by the pool's lock.
    resv_map: set[int] | None

    def __init__(self) -> None:
        # Once for the life of the object, however often it is recycled: a reader with a stale
        # reference may be about to count itself in.
        self.vm_refcnt = sync.AtomicInt(0)

    def copy_from(self, other: Vma) -> None:
        """Take over other's attributes, not its lock state."""
        self.vm_start = other.vm_start
        self.vm_end = other.vm_end
        self.vm_pgoff = other.vm_pgoff
        self.vm_anon_pgoff = other.vm_anon_pgoff
        self.vm_flags = other.vm_flags
        self.vm_file = other.vm_file
        self.vm_ops = other.vm_ops
        self.vm_policy = other.vm_policy
        self.anon_name = other.anon_name
        self.anon_vma = other.anon_vma
        self.anon_vma_chain = other.anon_vma_chain
        self.resv_map = other.resv_map

    def __repr__(self) -> str:
        return f"<Vma {self.vm_start:x}-{self.vm_end:x} {self.vm_flags:#x}>"


_FreeList: TypeAlias = "tuple[Vma, _FreeList] | None"


class VmaSlab:
    """VMA objects, recycled at once and only as VMA objects (SLAB_TYPESAFE_BY_RCU).

    A task with a stale reference may find its object freed, or back in use for another range or
    in another mm. Shared by all address spaces unless they are given their own.
    """

    __slots__ = ("_free", "_mutex")

    def __init__(self) -> None:
        self._mutex = sync.Mutex()
        self._free: _FreeList = None  # protected by _mutex

    def alloc(self, mm: MmStruct) -> Vma:
        """Return a detached VMA of mm, the object freed last if there is one."""
        with self._mutex:
            head = self._free
            if head is not None:
                self._free = head[1]
        vma = head[0] if head is not None else Vma()
        # Plain stores, though readers with stale references may look: vm_refcnt is 0 until
        # vma_mark_attached(), and a reader that gets past it sees these. No section has the number
        # UINT_MAX before 2**31 of them are over.
        vma.vm_lock_seq = UINT_MAX
        vma.vm_mm = mm
        vma.anon_name = vma.anon_vma = vma.vm_ops = vma.vm_policy = None
        vma.anon_vma_chain = ()
        vma.resv_map = None
        return vma

    def free(self, vma: Vma) -> None:
        """Take vma back. Preconditions: detached, so that it cannot be locked."""
        assert vma.vm_refcnt.load() == 0, f"{vma} freed while attached"
        # So that a reader that believes a field of a freed VMA is caught by tests. vm_mm and
        # vm_lock_seq stay, as readers look at them before they have counted themselves in.
        vma.vm_start = vma.vm_end = SLAB_POISON
        vma.vm_file = None
        with self._mutex:
            self._free = (vma, self._free)


vm_area_cachep = VmaSlab()


class MmStruct:
    """An address space. What protects a field stands beside it, in __init__().

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
        "huge_pools",
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
        "release",
        "stack_vm",
        "start_brk",
        "start_stack",
        "task_size",
        "topdown",
        "total_vm",
        "vm_area_cachep",
        "vm_committed",
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
        release: tuple[int, ...] | None = None,
        huge_pools: Mapping[int, HugePool] | None = None,
        vm_committed: VmCommitted | None = None,
    ) -> None:
        """Make an empty address space with one user.

        Args:
            name: For reports.
            limits: What bounds it; the defaults of Limits if None.
            mmap_base: Byte address below which mappings are placed, top down.
            mmap_legacy_base: Byte address from which on they are placed if there is no room below
                mmap_base; None: a third of what is below map_window.
            topdown: False if they are placed above it, bottom up.
            task_size: TASK_SIZE; with page tables of five levels TASK_SIZE_5LEVEL; for a 32-bit
                process IA32_PAGE_OFFSET or IA32_PAGE_OFFSET_3GB.
            gate_vma: Whether maps ends with the [vsyscall] line, which no 32-bit process has.
            gate_vma_flags: VM_* flags of that line: VM_EXEC (vsyscall=xonly), or VM_READ | VM_EXEC
                (vsyscall=emulate, and native before Linux 5.3).
            slab: Where its VMA objects come from; others that share it recycle them.
            huge_pools: The machine's huge pages, by their size in bytes; None: those of
                empty_pools().
            vm_committed: What is promised to all processes of the machine, where the limits say
                OVERCOMMIT_NEVER; None: to this one and its descendants only.
            release: Which Linux it behaves like, as (6, 18); None: see modelled() in
                releases/release.py.

        Raises:
            ValueError: No such release is modelled.
        """
        self.name = name
        # Protects the VMAs, and all from map_count to limits below. Lock order: see mm/__init__.py.
        self.mmap_lock = RwSemaphore(MMAP_LOCK)
        # Loaded by anyone, stored by the holder of mmap_lock (write). 32 bits, wraps; odd while
        # mmap_lock is write-held.
        self.mm_lock_seq = 0
        # Where the one task that may wait for VMA readers sleeps: the holder of mmap_lock (write).
        # Gone once mm_count is 0.
        self.vma_writer_wait = RcuWait()
        # Walked by anyone, stored to under mmap_lock (write).
        self.mm_mt: VmaTree[Vma] = VmaTree()
        # Tasks that use the address space; 0: it is being, or was, torn down.
        self.mm_users = sync.AtomicInt(1)
        # References to this structure; mm_users > 0 counts as one.
        self.mm_count = sync.AtomicInt(1)
        # Which pages are resident; has a lock of its own.
        self.page_table = PageTable()
        # Taken under mmap_lock (read): protects the first setting of Vma.anon_vma. Taken under that
        # or a VMA's read lock: VM_MAYBE_GUARD.
        self.page_table_lock = sync.Mutex()

        # VMAs in mm_mt.
        self.map_count = 0
        # Pages.
        self.total_vm = self.data_vm = self.exec_vm = self.stack_vm = self.locked_vm = 0
        # Pages of locked_vm that no VMA locks: MREMAP_DONTUNMAP unlocks the source, but leaves its
        # pages in the count.
        self.locked_vm_excess = 0
        # Bytes of the program's own data, which RLIMIT_DATA counts with the heap.
        self.data_size = 0
        # VM_* bits that new mappings get.
        self.def_flags = 0
        # Byte addresses, like mmap_base.
        self.start_brk = self.brk = self.start_stack = 0
        # personality(2) has READ_IMPLIES_EXEC, as old 32-bit programs need.
        self.read_implies_exec = False
        # Replaced as a whole.
        self.limits = limits or Limits()

        # The rest never changes once other tasks know the mm. has_drivers: some VMA may be one of
        # vmas/driver.py.
        self.has_drivers = False
        self.mmap_base = mmap_base
        self.mmap_legacy_base = (
            legacy_base(task_size) if mmap_legacy_base is None else mmap_legacy_base
        )
        self.topdown = topdown
        self.task_size = task_size
        self.gate_vma = gate_vma
        self.gate_vma_flags = gate_vma_flags
        self.vm_area_cachep = slab
        self.huge_pools = empty_pools() if huge_pools is None else huge_pools
        self.vm_committed = vm_committed or VmCommitted()
        self.release = modelled(release)

    @property
    def map_window(self) -> int:
        """The byte address below which all is placed for which no hint is above it.

        Compare arch/x86/include/asm/page_64_types.h:DEFAULT_MAP_WINDOW.
        """
        return min(self.task_size, TASK_SIZE)

    @property
    def word_max(self) -> int:
        """The largest number that a register of the process holds."""
        return UINT_MAX if self.task_size <= UINT_MAX else ULONG_MAX

    def find_vma(self, addr: int) -> Vma | None:
        """Return the VMA that holds addr, or the next one above.

        Preconditions: mmap_lock held.
        """
        return self.mm_mt.find(addr)

    def find_vma_prev(self, addr: int) -> Vma | None:
        """Return the last VMA that starts below addr. Preconditions: mmap_lock held."""
        return self.mm_mt.find_before(addr)

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
        # munmap frees pages after it has cleared the tree, under mmap_lock (read): so under that
        # lock pages may lie outside of VMAs for a moment.
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


def vma_pages(vma: Vma) -> int:
    """Return the size of vma in pages."""
    return vma.vm_end - vma.vm_start >> PAGE_SHIFT


def vma_add_pgoff(vma: Vma, pages: int) -> None:
    """Let vma begin pages later in what it maps. Compare mm/vma.h."""
    vma.vm_pgoff += pages
    vma.vm_anon_pgoff += pages


def vma_is_anonymous(vma: Vma) -> bool:
    """Say whether vma is private memory without a file's pages. Compare include/linux/mm.h."""
    return vma.vm_ops is None and (vma.vm_file is None or vma.vm_file.is_zero)


def vma_kernel_pagesize(vma: Vma) -> int:
    """Return the bytes of the pages that vma is mapped by. Compare mm/hugetlb.c."""
    if vma.vm_flags & VM_HUGETLB and vma.vm_file is not None:
        return vma.vm_file.kernel_page_size
    return PAGE_SIZE


def vm_stat_kind(flags: int) -> str | None:
    """Name the counter, apart from total_vm, that counts mappings with these VM_* flags."""
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
        pages = vma_pages(vma)
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
    # In the kernel the memory is gone by now. Here the one thing is taken away that a reader with a
    # foreign VMA could touch too late, so that tests see it.
    if mm.mm_count.add(-1) == 0:
        del mm.vma_writer_wait
