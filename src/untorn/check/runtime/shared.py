"""Shared fields: slots of production classes, watched from outside while programs are explored.

Several tasks may access POINTS at once; each access is a step. GUARDED fields belong to the task
that holds a lock. Their accesses are not steps: as long as no two of them race, which every
schedule checks, the order of the steps decides every order of theirs that matters. A race between
them is an error.

A reader that copies a VMA without a lock, and checks the copy afterwards, races with writers on
purpose. With such a reader, accesses to guarded fields of VMAs are steps, too.

Fields in neither list are constant, or objects with watched fields, or touched by one task alone,
or changed together with a watched one. Any task may look at RwSemaphore.owner.
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
from untorn.mm.filemap import Page
from untorn.mm.mm_types import MmStruct, Vma, VmaSlab
from untorn.mm.page_table import PageTable, PteTable
from untorn.mm.tree.vma_tree import VmaIterator, VmaTree

POINTS: dict[type, tuple[str, ...]] = {
    # Readers look at the first two before they have the lock, when the VMA may be another mm's.
    # First writes to two pages may each find that there is no anon_vma yet.
    Vma: ("vm_mm", "vm_lock_seq", "anon_vma"),
    # Sampled without a lock; the place of the writer goes when the mm does.
    MmStruct: ("mm_lock_seq", "vma_writer_wait"),
    # The one store that publishes a version of the tree.
    VmaTree: ("root",),
    # Loaded by the last reader to leave, while the writer comes or goes.
    RcuWait: ("task",),
    # Loaded by a sleeper, outside of the mutex under which it is set.
    Waiter: ("granted",),
    # Read without the lock that its changes are made under.
    Page: ("mapcount", "dirty"),
    # Set by a task that reaps or kills, and by the task itself, at any moment.
    ProcTask: ("reaped", "mempolicy"),
    Task: ("killed",),
}
GUARDED: dict[type, tuple[str, ...]] = {
    # By mmap_lock and the VMA lock: a store needs both, for a load either will do. To set
    # VM_MAYBE_GUARD in vm_flags either will do, too: see GuardedBits.
    Vma: (
        "vm_start",
        "vm_end",
        "vm_pgoff",
        "vm_anon_pgoff",
        "vm_flags",
        "vm_file",
        "vm_ops",
        "anon_name",
        "vm_policy",
        "resv_map",
        "anon_vma_chain",
    ),
    # By mmap_lock.
    MmStruct: (
        *("map_count", "total_vm", "data_vm", "exec_vm", "stack_vm", "data_size"),
        *("locked_vm", "locked_vm_excess", "brk", "def_flags"),
    ),
    # By the mutex of the file.
    SeqFile: ("_pending", "index", "_file_pos", "_read_pos", "_size"),
    ProcMaps: ("_last_pos", "_started"),
    # By the mutex of the file, or owned by the one call that has the context.
    VmaLocking: ("_locked_vma", "_mmap_locked"),
    RcuLocking: ("_seq", "_in_rcu", "_retries"),
    MmapLocking: ("_locked",),
    VmaIterator: ("index",),
    # By the mutex of the semaphore, and that of the slab.
    RwSemaphore: ("_count", "_queue"),
    VmaSlab: ("_free",),
}
EXCLUSIVE: dict[type, tuple[str, ...]] = {
    # By the lock of the page table.
    PageTable: ("_tables", "_files", "_huge_inodes", "huge"),
    PteTable: ("ptes", "pages"),
}
"""Guarded containers, changed in place: a task that loads one may store into it."""
