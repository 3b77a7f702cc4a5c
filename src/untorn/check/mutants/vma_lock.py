"""Mutants of the per-VMA lock and of the sequence."""

from untorn.check.mutants.mutant import Mutant
from untorn.locking.rcuwait import RcuWait
from untorn.mm import mmap_lock, vma_lock

_PUT = "    count = vma.vm_refcnt.add(-1)\n"
_WAKE = "    if FLAG <= count <= FLAG + 1:\n        mm.vma_writer_wait.wake_up()\n"

MUTANTS = [
    Mutant(
        "sequence-before-mm",
        "a VMA's sequence is checked before its mm, which may be another one and go away",
        vma_lock.vma_start_read,
        (
            ("    if vma.vm_mm is not mm:\n        _put_foreign(vma)\n        return BUSY\n", ""),
            (
                "    return LOCKED\n",
                "    if vma.vm_mm is not mm:\n        _put_foreign(vma)\n        return BUSY\n"
                "    return LOCKED\n",
            ),
        ),
        ("recycled/same-sequence",),
    ),
    Mutant(
        "no-first-check",
        "a reader counts itself in without looking for a writer first",
        vma_lock.vma_start_read,
        (("    if vma.vm_lock_seq == mm.mm_lock_seq:  #", "    if False:  #"),),
        ("maps/split-above", "maps/merge-left", "query-one/munmap+mmap"),
        "that check only saves work: the one after the count decides",
    ),
    Mutant(
        "no-second-check",
        "a reader that counted itself in does not look for a writer again",
        vma_lock.vma_start_read,
        (
            (
                "if vma.vm_lock_seq == mm.mm_lock_seq:\n        vma_refcount",
                "if False:\n        vma_refcount",
            ),
        ),
        ("maps/split-above",),
    ),
    Mutant(
        "no-mm-check",
        "a reader does not check whose VMA it counted itself into",
        vma_lock.vma_start_read,
        (("if vma.vm_mm is not mm:", "if False:"),),
        ("recycled/there",),
    ),
    Mutant(
        "limit-ignored",
        "a reader that was refused at the limit continues as if it were counted in",
        vma_lock.vma_start_read,
        (("if not 0 < found < LIMIT:", "if not 0 < found <= LIMIT:"),),
        ("meet/at-the-limit",),
    ),
    Mutant(
        "limit-ignored-under-mmap-lock",
        "so does one that holds mmap_lock",
        vma_lock.vma_start_read_locked,
        (("        return False\n", "        pass\n"),),
        ("meet/at-the-limit",),
    ),
    Mutant(
        "foreign-mm-not-kept",
        "another mm is not kept alive while its VMA is put",
        vma_lock._put_foreign,
        (("    mmgrab(other)\n", ""), ("    mmdrop(other)\n", "")),
        ("recycled/and-gone",),
    ),
    Mutant(
        "foreign-mm-kept-late",
        "the wake-up in the put comes before another mm is kept alive",
        vma_lock._put_foreign,
        (
            (
                "    mmgrab(other)\n    vma_refcount_put(vma)\n",
                "    vma_refcount_put(vma)\n    mmgrab(other)\n",
            ),
        ),
        ("recycled/and-gone",),
    ),
    Mutant(
        "no-wake-up",
        "the last reader does not wake the writer",
        vma_lock.vma_refcount_put,
        ((_WAKE, ""),),
        ("maps/split-above",),
    ),
    Mutant(
        "wakes-only-write-lockers",
        "the last reader does not wake a writer that detaches",
        vma_lock.vma_refcount_put,
        (("FLAG <= count <= FLAG + 1", "count == FLAG + 1"),),
        ("A/munmap-0",),
    ),
    Mutant(
        "wakes-only-detachers",
        "the last reader does not wake a writer that write-locks",
        vma_lock.vma_refcount_put,
        (("FLAG <= count <= FLAG + 1", "count == FLAG"),),
        ("maps/split-above",),
    ),
    Mutant(
        "wakes-before-the-put",
        "the writer is woken before the count is decremented",
        vma_lock.vma_refcount_put,
        ((_PUT, "    mm.vma_writer_wait.wake_up()\n" + _PUT), (_WAKE, "")),
        ("maps/split-above",),
    ),
    Mutant(
        "mm-looked-up-after-the-put",
        "the mm whose writer to wake is loaded when the VMA may belong to another",
        vma_lock.vma_refcount_put,
        (
            ("    mm = vma.vm_mm  #", "    #"),
            (_PUT, _PUT + "    mm = vma.vm_mm\n"),
        ),
        ("recycled/and-gone",),
    ),
    Mutant(
        "writer-does-not-wait",
        "a writer does not wait for the readers of the VMA",
        vma_lock._exclude_readers,
        (
            (
                "if not wait.wait_event(lambda: vma.vm_refcnt.load() == target,",
                "if not (lambda *_, **__: True)(lambda: vma.vm_refcnt.load() == target,",
            ),
        ),
        ("maps/split-above",),
    ),
    Mutant(
        "sequence-before-exclusion",
        "a VMA is marked as write-locked before its readers have left",
        vma_lock.vma_start_write,
        (
            ("    vma.vm_lock_seq = vma.vm_mm.mm_lock_seq\n", ""),
            (
                "    exclusive = _exclude",
                "    vma.vm_lock_seq = vma.vm_mm.mm_lock_seq\n    exclusive = _exclude",
            ),
        ),
        ("maps/split-above", "maps/merge-left-partial", "query-one/mprotect+munmap", "meet/killed"),
        "the writer waits for a reader that checked before the store, and a later one leaves."
        " Only a wait ended by a signal would leave an unlocked VMA marked, until the end"
        " of the section, and no system call waits like that",
    ),
    Mutant(
        "readers-kept-out-for-good",
        "the flag that keeps readers out is not cleared",
        vma_lock.vma_start_write,
        (("left = vma.vm_refcnt.add(-FLAG)", "left = vma.vm_refcnt.load()"),),
        ("maps/split-above",),
    ),
    Mutant(
        "no-exclusion",
        "a writer marks the VMA without keeping readers out",
        vma_lock.vma_start_write,
        (("exclusive = _exclude_readers(vma, FLAG + 1, killable)", "exclusive = False"),),
        ("maps/split-above",),
    ),
    Mutant(
        "waits-for-detached",
        "a writer waits until the count is that of a detached VMA",
        vma_lock.vma_start_write,
        (("_exclude_readers(vma, FLAG + 1, killable)", "_exclude_readers(vma, FLAG, killable)"),),
        ("maps/split-above",),
    ),
    Mutant(
        "detach-does-not-wait",
        "a VMA is detached under a reader that is about to leave",
        vma_lock.vma_mark_detached,
        (("if vma.vm_refcnt.add(-1) == 0:", "if vma.vm_refcnt.add(-1) >= 0:"),),
        ("A/munmap-0",),
    ),
    Mutant(
        "waiter-not-published",
        "a writer that waits does not announce it",
        RcuWait.wait_event,
        (("task = self.task = sync.current()", "task = sync.current()"),),
        ("maps/split-above",),
    ),
    Mutant(
        "waiter-published-late",
        "a writer checks the count before it announces its wait",
        RcuWait.wait_event,
        (
            (
                "    task = self.task = sync.current()\n    try:\n",
                "    task = sync.current()\n    try:\n"
                "        if not holds():\n            self.task = task\n"
                "            task.wait_until(iter((False, True)).__next__)\n",
            ),
        ),
        ("maps/split-above",),
    ),
    Mutant(
        "sections-do-not-end",
        "the sequence does not change when mmap_lock is dropped",
        mmap_lock.mmap_write_unlock,
        (("    vma_end_write_all(mm)\n", ""),),
        ("maps/split-above",),
    ),
    Mutant(
        "sections-end-late",
        "the sequence changes after mmap_lock was dropped",
        mmap_lock.mmap_write_unlock,
        (
            ("    vma_end_write_all(mm)\n", ""),
            ("    mm.mmap_lock.up_write()\n", "    mm.mmap_lock.up_write()\n    _seq_step(mm)\n"),
        ),
        ("meet/writers-alone",),
    ),
    Mutant(
        "downgrade-keeps-write-locks",
        "the sequence does not change in a downgrade",
        mmap_lock.mmap_write_downgrade,
        (("    vma_end_write_all(mm)\n", ""),),
        ("A/munmap-1",),
    ),
    Mutant(
        "sections-do-not-begin",
        "the sequence does not change when mmap_lock is taken",
        mmap_lock.mmap_write_lock_killable,
        (("    _seq_step(mm)\n", ""),),
        ("maps/split-above",),
    ),
]
