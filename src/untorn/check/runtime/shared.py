"""Shared fields: slots of production classes, watched from outside while programs are explored.

POINTS may be touched by several tasks at once; each access is a step of its own. GUARDED fields
belong to whoever holds a lock. Their accesses are no steps: as long as no two of them race, which
is looked at in every schedule, no order of them can matter that the order of the steps does not
decide. A race of theirs is an error by itself.

A reader that copies a VMA without a lock, and looks afterwards whether that was good, races with
its writers on purpose. Where there is one, the guarded fields of VMAs are steps, too.

Fields that stand in no list are constant, or objects with watched fields of their own, or touched
by one task alone, or changed together with a watched one. Anyone may look at RwSemaphore.owner.
"""

from untorn.fs.proc.base import ProcTask
from untorn.fs.proc.maps_locking.mmap_lock import MmapLocking
from untorn.fs.proc.maps_locking.rcu import RcuLocking
from untorn.fs.proc.maps_locking.vma_lock import VmaLocking
from untorn.fs.proc.task_mmu import ProcMaps
from untorn.fs.seq_file import SeqFile
from untorn.locking.rcuwait import RcuWait
from untorn.locking.rwsem import RwSemaphore, Waiter
from untorn.locking.sync import Task
from untorn.mm.mm_types import MmStruct, Vma, VmaSlab
from untorn.mm.page_table import PageTable, PteTable
from untorn.mm.tree.vma_tree import VmaIterator, VmaTree

POINTS: dict[type, tuple[str, ...]] = {
    Vma: ("vm_mm", "vm_lock_seq", "anon_vma"),
    MmStruct: ("mm_lock_seq", "vma_writer_wait"),
    VmaTree: ("root",),
    RcuWait: ("task",),
    Waiter: ("granted",),
    ProcTask: ("reaped",),
    Task: ("killed",),
}
GUARDED: dict[type, tuple[str, ...]] = {
    Vma: (
        "vm_start",
        "vm_end",
        "vm_pgoff",
        "vm_flags",
        "vm_file",
        "vm_ops",
        "anon_name",
        "anon_vma_chain",
    ),
    MmStruct: (
        *("map_count", "total_vm", "data_vm", "exec_vm", "stack_vm", "data_size"),
        *("locked_vm", "locked_vm_excess", "brk", "def_flags"),
    ),
    SeqFile: ("_pending", "index", "_file_pos", "_read_pos", "_size"),
    ProcMaps: ("_last_pos", "_started"),
    VmaLocking: ("_locked_vma", "_mmap_locked"),
    RcuLocking: ("_seq", "_in_rcu", "_retries"),
    MmapLocking: ("_locked",),
    VmaIterator: ("index",),
    RwSemaphore: ("_count", "_queue"),
    VmaSlab: ("_free",),
}
EXCLUSIVE: dict[type, tuple[str, ...]] = {
    PageTable: ("_tables", "_files"),
    PteTable: ("ptes", "pages"),
}
"""Guarded containers, changed in place: whoever loads one may store into it."""
