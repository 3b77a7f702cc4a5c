"""Mutants that keep out too many readers, leave something behind, or forget the lock."""

from untorn.check.mutants.mutant import Mutant
from untorn.fs.proc.do_procmap_query import do_procmap_query
from untorn.fs.proc.task_mmu import ProcMaps
from untorn.fs.seq_file import SeqFile
from untorn.locking.rcuwait import RcuWait
from untorn.locking.rwsem import RwSemaphore
from untorn.mm import vma_lock
from untorn.mm.calls import munmap
from untorn.mm.mm_types import VmaSlab

MUTANTS = [
    Mutant(
        "no-file-lock",
        "two tasks may read one file at the same time",
        SeqFile.read,
        (("    with _Watched(self._mutex), self._mutex:\n", "    if True:\n"),),
        ("meet/one-file",),
    ),
    Mutant(
        "file-position-unlocked",
        "the position of a file is moved after its lock was dropped",
        SeqFile.read,
        (
            (
                "        self._file_pos += len(data)\n        return data",
                "    self._file_pos += len(data)\n    return data",
            ),
        ),
        ("meet/one-file",),
    ),
    Mutant(
        "owner-kept",
        "mmap_lock is released and still has an owner",
        RwSemaphore._leave_write,
        (("        self.owner = None\n", ""),),
        ("maps/split-above",),
    ),
    Mutant(
        "munmap-locks-all",
        "a call that unmaps write-locks every VMA of the mm",
        munmap.gather_munmap_vmas,
        (
            (
                "    going = MunmapVmas(start, end)\n",
                "    going = MunmapVmas(start, end)\n"
                "    for _, _, each in mm.mm_mt:\n        vma_start_write(each)\n",
            ),
        ),
        ("AB/munmap-0",),
    ),
    Mutant(
        "write-lock-of-all",
        "a writer that write-locks a VMA keeps the readers out of all others, too",
        vma_lock.vma_start_write,
        (
            (
                "    exclusive = _exclude_readers",
                "    for _, _, each in vma.vm_mm.mm_mt:\n"
                "        if each is not vma and not vma_is_write_locked(each):\n"
                "            if _exclude_readers(each, FLAG + 1, killable):\n"
                "                each.vm_lock_seq = each.vm_mm.mm_lock_seq\n"
                "                each.vm_refcnt.add(-FLAG)\n"
                "    exclusive = _exclude_readers",
            ),
        ),
        ("AB/mprotect-1",),
    ),
    Mutant(
        "accounts-without-lock",
        "unmapped pages are subtracted from the counts after mmap_lock was dropped",
        munmap.do_munmap,
        (
            (
                "        clear_munmap_vmas(mm, going)\n",
                "        store_range(mm.mm_mt, going.start, going.end, None)\n"
                "        mm.map_count -= len(going.vmas)\n",
            ),
            (
                "    free_munmap_vmas(mm, going)\n    mmap_read_unlock(mm)\n",
                "    mmap_read_unlock(mm)\n"
                "    for each in going.vmas:\n"
                "        vma_account(mm, each.vm_flags, -vma_pages(each))\n"
                "    for each in going.vmas:\n        vm_area_free(each)\n",
            ),
        ),
        ("meet/writers-alone",),
    ),
    Mutant(
        "query-stays-a-user",
        "a query does not drop the mm",
        do_procmap_query,
        (("        mmput(mm)\n", "        pass\n"),),
        ("meet/reaped",),
    ),
    Mutant(
        "pass-stays-a-user",
        "a fill does not drop the mm",
        ProcMaps.stop,
        (("    mmput(self._mm)\n", ""),),
        ("meet/exit",),
    ),
    Mutant(
        "foreign-mm-kept",
        "a reader that met a VMA of another mm does not drop that mm",
        vma_lock._put_foreign,
        (("    mmdrop(other)\n", ""),),
        ("recycled/and-gone",),
    ),
    Mutant(
        "waiter-left-behind",
        "a writer that has waited stays registered as waiting",
        RcuWait.wait_event,
        (("        self.task = None", "        pass"),),
        ("maps/split-above",),
    ),
    Mutant(
        "slab-left-locked",
        "a task that frees a VMA object does not release the slab's mutex",
        VmaSlab.free,
        (
            (
                "    with self._mutex:\n        self._free = (vma, self._free)",
                "    self._mutex.acquire()\n    self._free = (vma, self._free)",
            ),
        ),
        ("A/munmap-0",),
    ),
]
