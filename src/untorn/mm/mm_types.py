"""The types of an address space: VMAs, their anon_vmas, and mm_struct.

They refer to one another, so they are in one module. The modules above operate on them. A comment
beside each field says what protects it. Compare include/linux/mm_types.h.
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
"""The bounds of a freed VMA. In Linux the slab's free pointer overwrites vm_start alone."""


class AnonVma:
    """The identity that the anonymous pages of related VMAs share.

    Attributes:
        parent: The anon_vma that it was forked from; itself for the first of a family.
        num_children: How many anon_vmas have it as parent; the first of a family counts itself.
        num_active_vmas: How many VMAs have it as their anon_vma.
    """

    __slots__ = ("num_active_vmas", "num_children", "parent")

    def __init__(self, parent: AnonVma | None = None) -> None:
        self.parent = parent or self
        self.num_children = sync.AtomicInt(0)
        self.num_active_vmas = sync.AtomicInt(0)
        self.parent.num_children.add(1)


class Vma:
    """A contiguous range of one address space with one set of attributes.

    A VMA is called stable while the task holds its read lock, or mmap_lock in any mode: then its
    attributes do not change. They are written only under mmap_lock (write) with the VMA
    write-locked, unless a comment beside them says otherwise. Any task may read the lock state,
    even of a freed or recycled object.
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
    # The VMA is write-locked if and only if this equals vm_mm.mm_lock_seq. Written under mmap_lock
    # (write) with readers excluded. A new VMA has UINT_MAX.
    vm_lock_seq: int
    # 0: detached, and no reader may enter. 1: attached, unlocked or write-locked. 1+n: attached,
    # with n readers, some of which may be about to notice the write lock and leave. While
    # VM_REFCNT_EXCLUDE_READERS_FLAG (FLAG) is set, a writer waits and the count can only fall. The
    # writer goes on at FLAG+1 if it write-locks the VMA, and at FLAG if it detaches it.
    vm_refcnt: sync.AtomicInt

    # The attributes. The bounds are bytes; vm_end is exclusive.
    vm_start: int
    vm_end: int
    # Pages into vm_file; for private anonymous memory, the page number where it was first mapped.
    vm_pgoff: int
    # The page number that anonymous pages of the VMA start at: where it was first mapped. Private
    # mappings of files have it, too. Compare __vm_anon_pgoff.
    vm_anon_pgoff: int
    # VM_* bits. Only VM_MAYBE_GUARD may be set while others read; see vma_set_atomic_flag().
    vm_flags: int
    # The mapped file, or None.
    vm_file: VmFile | None
    # The operations of a special mapping or of the file, or None. Never changes once attached.
    vm_ops: VmOperations | None
    # The policy that mbind() set, or None.
    vm_policy: Mempolicy | None
    # The name that prctl(PR_SET_VMA_ANON_NAME) set, or None.
    anon_name: bytes | None
    # Both are first set under mmap_lock (read) and mm.page_table_lock; see vmas/rmap.py.
    anon_vma: AnonVma | None
    anon_vma_chain: tuple[AnonVma, ...]
    # For a private mapping of hugetlbfs that reserved its pages: the page numbers in the file whose
    # reservation it has used up. All VMAs that come from one mmap share the set. Otherwise None.
    # The pool's lock protects the contents. Compare mm/hugetlb.c:HPAGE_RESV_OWNER.
    resv_map: set[int] | None

    def __init__(self) -> None:
        # Set once for the life of the object, however often it is recycled: a reader with a stale
        # reference may be about to increment it.
        self.vm_refcnt = sync.AtomicInt(0)

    def copy_from(self, other: Vma) -> None:
        """Copy other's attributes, but not its lock state."""
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
    """The allocator of VMA objects. It recycles them at once, as VMA objects only.

    This is SLAB_TYPESAFE_BY_RCU: a task with a stale reference may find its object freed, or back
    in use for another range or another mm. Address spaces share one slab unless they are given
    their own.
    """

    __slots__ = ("_free", "_mutex")

    def __init__(self) -> None:
        self._mutex = sync.Mutex()
        self._free: _FreeList = None  # protected by _mutex

    def alloc(self, mm: MmStruct) -> Vma:
        """Return a detached VMA of mm: the object that was freed last, or a new one."""
        with self._mutex:
            head = self._free
            if head is not None:
                self._free = head[1]
        vma = head[0] if head is not None else Vma()
        # Plain stores are enough, although readers with stale references may look: vm_refcnt is 0
        # until vma_mark_attached(), and a reader that gets past it sees these stores. mm_lock_seq
        # reaches UINT_MAX only after 2**31 sections.
        vma.vm_lock_seq = UINT_MAX
        vma.vm_mm = mm
        vma.anon_name = vma.anon_vma = vma.vm_ops = vma.vm_policy = None
        vma.anon_vma_chain = ()
        vma.resv_map = None
        return vma

    def free(self, vma: Vma) -> None:
        """Take vma back. Preconditions: detached, so that it cannot be locked."""
        assert vma.vm_refcnt.load() == 0, f"{vma} freed while attached"
        # The poison lets tests catch a reader that trusts a field of a freed VMA. vm_mm and
        # vm_lock_seq stay: readers may load them before they have incremented vm_refcnt.
        vma.vm_start = vma.vm_end = SLAB_POISON
        vma.vm_file = None
        with self._mutex:
            self._free = (vma, self._free)


vm_area_cachep = VmaSlab()


class MmStruct:
    """An address space. Comments in __init__() say what protects each field.

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
        """Create an empty address space with one user.

        Args:
            name: The name that reports show.
            limits: Its limits; None for the defaults of Limits.
            mmap_base: Byte address below which mappings are placed, top down.
            mmap_legacy_base: Byte address above which mappings are placed if there is no room below
                mmap_base; None for a third of map_window.
            topdown: False if mappings are placed above mmap_base, bottom up.
            task_size: TASK_SIZE; with five-level page tables TASK_SIZE_5LEVEL; for a 32-bit
                process IA32_PAGE_OFFSET or IA32_PAGE_OFFSET_3GB.
            gate_vma: Whether maps ends with the [vsyscall] line. A 32-bit process has none.
            gate_vma_flags: VM_* flags of that line: VM_EXEC (vsyscall=xonly), or VM_READ | VM_EXEC
                (vsyscall=emulate, and native before Linux 5.3).
            slab: The allocator of its VMA objects. Address spaces that share a slab recycle each
                other's objects.
            huge_pools: The machine's pools of huge pages by page size in bytes; None for
                empty_pools().
            vm_committed: The memory committed to all processes of the machine, if the limits have
                OVERCOMMIT_NEVER; None if only this process and its descendants count.
            release: The release of Linux that it behaves like, such as (6, 18); None: see
                modelled() in releases/release.py.

        Raises:
            ValueError: The engine does not model that release.
        """
        self.name = name
        # Protects the VMAs and the fields from map_count to limits. Lock order: see mm/__init__.py.
        self.mmap_lock = RwSemaphore(MMAP_LOCK)
        # Loaded by anyone, stored by the holder of mmap_lock (write). It has 32 bits and wraps; it
        # is odd while mmap_lock is held for write.
        self.mm_lock_seq = 0
        # The one task that may wait for VMA readers, the holder of mmap_lock (write), sleeps here.
        # Deleted when mm_count falls to 0.
        self.vma_writer_wait = RcuWait()
        # Walked by anyone, stored to under mmap_lock (write).
        self.mm_mt: VmaTree[Vma] = VmaTree()
        # How many tasks use the address space. At 0 it is being torn down, or is gone.
        self.mm_users = sync.AtomicInt(1)
        # How many references to this structure there are; all of mm_users together count as one.
        self.mm_count = sync.AtomicInt(1)
        # The resident pages. It has its own lock.
        self.page_table = PageTable()
        # Under mmap_lock (read), it protects the first setting of Vma.anon_vma. Under mmap_lock
        # (read) or a VMA read lock, it protects the setting of VM_MAYBE_GUARD.
        self.page_table_lock = sync.Mutex()

        # How many VMAs mm_mt holds.
        self.map_count = 0
        # Pages.
        self.total_vm = self.data_vm = self.exec_vm = self.stack_vm = self.locked_vm = 0
        # How many pages of locked_vm are in no locked VMA: MREMAP_DONTUNMAP unlocks the source, but
        # leaves its pages in the count.
        self.locked_vm_excess = 0
        # Bytes of the program's data segment. RLIMIT_DATA counts it together with the heap.
        self.data_size = 0
        # VM_* bits that every new mapping gets.
        self.def_flags = 0
        # Byte addresses, like mmap_base.
        self.start_brk = self.brk = self.start_stack = 0
        # personality(2) has READ_IMPLIES_EXEC, as old 32-bit programs need.
        self.read_implies_exec = False
        # Immutable; replaced as a whole.
        self.limits = limits or Limits()

        # The rest never changes once other tasks can see the mm. has_drivers is True if some VMA
        # may have a driver; see vmas/driver.py.
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
        """The byte address below which every mapping is placed unless its hint is above it.

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
        """Check that the tree, the VMAs, the page table and all counters agree.

        Preconditions: mmap_lock held in any mode, so that no writer is half done. That no page is
            mapped outside of VMAs is checked only if it is held for write: munmap frees pages late.

        Raises:
            InvariantError: two of them disagree; the message names both.
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
        # munmap frees pages under mmap_lock (read), after it has cleared the tree. So for a reader
        # of mmap_lock some pages may be outside of VMAs for a moment.
        ranges = [(vma.vm_start, vma.vm_end) for vma in vmas]
        self.page_table.check_invariants(ranges if self.mmap_lock.is_write_locked() else None)

    def _check_vma(self, start: int, end: int, vma: Vma) -> None:
        if (vma.vm_start, vma.vm_end) != (start, end):
            raise InvariantError(f"{vma} is stored in the tree at {start:x}-{end:x}")
        if not (page_aligned(start) and page_aligned(end) and end <= self.task_size):
            raise InvariantError(f"{vma} is not page-aligned, or not below {self.task_size:x}")
        if vma.vm_mm is not self or vma.vm_refcnt.load() == 0:
            raise InvariantError(f"{vma} is in the tree but not attached to {self}")

    def __repr__(self) -> str:
        return f"<MmStruct {self.name}, {self.map_count} VMAs>"


def vma_pages(vma: Vma) -> int:
    """Return the size of vma in pages."""
    return vma.vm_end - vma.vm_start >> PAGE_SHIFT


def vma_add_pgoff(vma: Vma, pages: int) -> None:
    """Let vma begin this many pages later in the file or anonymous memory. Compare mm/vma.h."""
    vma.vm_pgoff += pages
    vma.vm_anon_pgoff += pages


def vma_is_anonymous(vma: Vma) -> bool:
    """Return whether vma is private memory without a file's pages. Compare include/linux/mm.h."""
    return vma.vm_ops is None and (vma.vm_file is None or vma.vm_file.is_zero)


def vma_kernel_pagesize(vma: Vma) -> int:
    """Return the size in bytes of the pages that map vma. Compare mm/hugetlb.c."""
    if vma.vm_flags & VM_HUGETLB and vma.vm_file is not None:
        return vma.vm_file.kernel_page_size
    return PAGE_SIZE


def vm_stat_kind(flags: int) -> str | None:
    """Return the name of the counter, besides total_vm, for mappings with these VM_* flags."""
    if flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN) == VM_EXEC:
        return "exec_vm"
    if flags & VM_GROWSDOWN:
        return "stack_vm"
    if is_data_mapping(flags):
        return "data_vm"
    return None


def is_data_mapping(flags: int) -> bool:
    """Return whether RLIMIT_DATA counts a mapping with these flags: private, writable, no stack."""
    return flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN) == VM_WRITE


def count_pages(vmas: list[Vma]) -> dict[str, int]:
    """Compute the counters of MmStruct from the VMAs, in pages."""
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
    """Keep the structure, but not its mappings, alive until mmdrop()."""
    mm.mm_count.add(1)


def mmdrop(mm: MmStruct) -> None:
    """Drop a reference to the structure. The last frees it; no task may wake its writer then."""
    # In the kernel the memory is free now. Here only vma_writer_wait is deleted, which a reader
    # with a foreign VMA could touch too late, so that tests notice.
    if mm.mm_count.add(-1) == 0:
        del mm.vma_writer_wait
