"""One VMA, and the type-safe store that VMA objects come from and go back to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from untorn.locking import sync
from untorn.maps.page import PAGE_SIZE, UINT_MAX
from untorn.mm.mman import VM_HUGETLB
from untorn.mm.rmap import unlink_anon_vmas

if TYPE_CHECKING:
    from untorn.mm.file import VmFile
    from untorn.mm.mm_struct import MmStruct
    from untorn.mm.rmap import AnonVma
    from untorn.mm.vm_operations import VmOperations

VM_REFCNT_EXCLUDE_READERS_FLAG = 1 << 30
VM_REFCNT_LIMIT = VM_REFCNT_EXCLUDE_READERS_FLAG - 1
SLAB_POISON = 0x6B6B_6B6B_6B6B_6B6B
"""What the bounds of a freed VMA hold: the words that the slab's free list overlays."""


class Vma:
    """A contiguous range of one address space with one set of attributes.

    Stable for whoever holds the VMA's read lock, or mmap_lock in any mode; written only under
    mmap_lock (write) with the VMA write-locked:
        vm_start, vm_end   bytes, end exclusive
        vm_pgoff           pages into vm_file; for private anonymous memory, where it began
        vm_flags           VM_* bits; VM_MAYBE_GUARD alone may be set under mmap_lock (read) and
                           mm.page_table_lock
        vm_file            the mapped file, or None
        anon_name          what prctl(PR_SET_VMA_ANON_NAME) called it, or None
        vm_ops             of a special mapping or as the file has them, or None; never changes
    anon_vma and anon_vma_chain (see rmap.py) are written so too, or, to set the first, under
    mmap_lock (read) and mm.page_table_lock.

    Readable by anyone, even on a freed or recycled object:
        vm_mm        set at allocation, never cleared
        vm_lock_seq  write-locked if and only if it equals vm_mm.mm_lock_seq; written under
                     mmap_lock (write) with readers excluded. A new VMA holds UINT_MAX.
        vm_refcnt    0 detached: no reader may come; 1 attached, unlocked or write-locked;
                     1+n attached, n readers (or readers about to notice the write lock and
                     leave). With FLAG set a writer waits and the count can only fall:
                     FLAG+1 is his cue if attached, FLAG if he is detaching it.
    """

    __slots__ = (
        "anon_name",
        "anon_vma",
        "anon_vma_chain",
        "vm_end",
        "vm_file",
        "vm_flags",
        "vm_lock_seq",
        "vm_mm",
        "vm_ops",
        "vm_pgoff",
        "vm_refcnt",
        "vm_start",
    )

    vm_mm: MmStruct
    vm_start: int
    vm_end: int
    vm_pgoff: int
    vm_flags: int
    vm_file: VmFile | None
    vm_ops: VmOperations | None
    anon_name: bytes | None
    anon_vma: AnonVma | None
    anon_vma_chain: tuple[AnonVma, ...]
    vm_lock_seq: int

    def __init__(self) -> None:
        self.vm_refcnt = sync.AtomicInt(0)

    def copy_from(self, other: Vma) -> None:
        """Take over other's attributes, not its lock state."""
        self.vm_start = other.vm_start
        self.vm_end = other.vm_end
        self.vm_pgoff = other.vm_pgoff
        self.vm_flags = other.vm_flags
        self.vm_file = other.vm_file
        self.vm_ops = other.vm_ops
        self.anon_name = other.anon_name
        self.anon_vma = other.anon_vma
        self.anon_vma_chain = other.anon_vma_chain

    def __repr__(self) -> str:
        return f"<Vma {self.vm_start:x}-{self.vm_end:x} {self.vm_flags:#x}>"


class VmaSlab:
    """VMA objects, recycled at once and only as VMA objects (SLAB_TYPESAFE_BY_RCU).

    Whoever holds a stale reference may find its object freed, or back in use for another range,
    or in another mm. Shared by all address spaces unless they are given their own.
    """

    __slots__ = ("_free", "_mutex")

    def __init__(self) -> None:
        self._mutex = sync.Mutex()
        self._free: tuple[Vma, object] | None = None  # linked list; protected by _mutex

    def alloc(self, mm: MmStruct) -> Vma:
        """Return a detached VMA of mm, the object freed last if there is one."""
        with self._mutex:
            head = self._free
            if head is not None:
                self._free = head[1]  # type: ignore[assignment]
        vma = head[0] if head is not None else Vma()
        vma.vm_lock_seq = UINT_MAX
        vma.vm_mm = mm
        vma.anon_name = vma.anon_vma = vma.vm_ops = None
        vma.anon_vma_chain = ()
        return vma

    def free(self, vma: Vma) -> None:
        """Take vma back. Preconditions: detached, so that nobody can lock it."""
        assert vma.vm_refcnt.load() == 0, f"{vma} freed while attached"
        vma.vm_start = vma.vm_end = SLAB_POISON
        vma.vm_file = None
        with self._mutex:
            self._free = (vma, self._free)


def vma_is_anonymous(vma: Vma) -> bool:
    """Say whether vma is private memory without a file's pages. Compare include/linux/mm.h."""
    return vma.vm_ops is None and (vma.vm_file is None or vma.vm_file.is_zero)


def vma_kernel_pagesize(vma: Vma) -> int:
    """Return the bytes of the pages that vma is mapped by. Compare mm/hugetlb.c."""
    if vma.vm_flags & VM_HUGETLB and vma.vm_file is not None:
        return vma.vm_file.kernel_page_size
    return PAGE_SIZE


vm_area_cachep = VmaSlab()


def vm_area_alloc(mm: MmStruct) -> Vma:
    """Return a new detached VMA of mm. Compare mm/vma_init.c:vm_area_alloc()."""
    return mm.vm_area_cachep.alloc(mm)


def vm_area_dup(vma: Vma) -> Vma:
    """Return a detached copy of vma in the same mm. Compare mm/vma_init.c:vm_area_dup()."""
    new = vma.vm_mm.vm_area_cachep.alloc(vma.vm_mm)
    new.copy_from(vma)
    return new


def vm_area_free(vma: Vma) -> None:
    """Give a detached vma back. Compare mm/vma_init.c:vm_area_free()."""
    unlink_anon_vmas(vma)
    vma.vm_mm.vm_area_cachep.free(vma)
