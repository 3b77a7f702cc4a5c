"""Mutants of the writers, of the tree's publication and of mmap_lock itself."""

from untorn.check.mutants.mutant import Mutant
from untorn.locking.rwsem import RwSemaphore
from untorn.mm.calls import exit as mm_exit
from untorn.mm.calls import mmap, mremap, munmap
from untorn.mm.vmas import merge, modify, vm_area

_START = "    vma_start_write(vma)\n"

MUTANTS = [
    Mutant(
        "split-without-lock",
        "a VMA is shrunk without its write lock",
        modify.split_vma_unlimited,
        ((_START, ""),),
        ("maps/split-above",),
    ),
    Mutant(
        "merge-locks-the-swallowed-only",
        "a VMA grows without its write lock",
        merge._grow,
        (("for vma in (target, *swallowed):\n        vma", "for vma in swallowed:\n        vma"),),
        ("maps/merge-left",),
    ),
    Mutant(
        "border-without-donor",
        "a boundary moves without the write lock of the VMA that shrinks",
        merge._shift_border,
        (("    vma_start_write(donor)\n", ""),),
        ("maps/merge-left-partial",),
    ),
    Mutant(
        "flags-without-lock",
        "a VMA gets other flags without its write lock",
        modify.vma_modify,
        ((_START, ""),),
        ("A/mprotect-0", "query-one/mprotect+mmap-next"),
    ),
    Mutant(
        "mmap-fixed-in-two-stores",
        "replaced VMAs leave the tree before the new mapping enters it",
        mmap.mmap_region,
        (
            (
                "    going = gather_munmap_vmas(mm, addr, end)\n",
                "    going = gather_munmap_vmas(mm, addr, end)\n"
                "    from untorn.mm.tree.store import store_range\n"
                "    store_range(mm.mm_mt, addr, end, None)\n",
            ),
        ),
        ("A/mmap-0",),
    ),
    Mutant(
        "detach-before-exclusion",
        "an unmapped VMA is detached before its readers have left",
        munmap.gather_munmap_vmas,
        (
            ("vma_start_write(vma)\n", "vma.vm_refcnt.add(-1)\n            vma_start_write(vma)\n"),
            ("            vma_mark_detached(vma)\n", ""),
        ),
        ("A/munmap-0",),
    ),
    Mutant(
        "unmapped-not-detached",
        "an unmapped VMA can still be locked when it is freed",
        munmap.gather_munmap_vmas,
        (("            vma_mark_detached(vma)\n", ""),),
        ("A/munmap-0",),
    ),
    Mutant(
        "merged-not-detached",
        "a VMA that was merged away is not detached",
        vm_area.vma_remove_merged,
        (("    vma_mark_detached(vma)\n", ""),),
        ("maps/merge-left",),
    ),
    Mutant(
        "freed-before-cleared",
        "unmapped VMAs are freed while the tree still has them",
        munmap.do_munmap,
        (
            (
                "        clear_munmap_vmas(mm, going)\n",
                "        free_munmap_vmas(mm, going)\n        clear_munmap_vmas(mm, going)\n",
            ),
            ("    free_munmap_vmas(mm, going)\n    mmap_read", "    mmap_read"),
        ),
        ("A/munmap-0",),
    ),
    Mutant(
        "freed-after-unlock",
        "unmapped VMAs are freed after mmap_lock was dropped",
        munmap.do_munmap,
        (
            (
                "    free_munmap_vmas(mm, going)\n    mmap_read_unlock(mm)\n",
                "    mmap_read_unlock(mm)\n    free_munmap_vmas(mm, going)\n",
            ),
        ),
        ("pages/mapped-anew",),
    ),
    Mutant(
        "refused-stays-detached",
        "a call that fails leaves the VMAs before the failing one detached",
        munmap.abort_munmap_vmas,
        (("        vma_mark_attached(vma)\n", "        pass\n"),),
        ("meet/refused",),
    ),
    Mutant(
        "shrink-tears",
        "a mapping that shrinks is transiently unmapped as a whole",
        mremap._mremap_locked,
        (
            (
                "        do_munmap_locked(remap.mm, remap.addr + remap.new_len, -remap.delta)\n",
                "        from untorn.mm.tree.vma_tree import EMPTY\n"
                "        whole, remap.mm.mm_mt.root = remap.mm.mm_mt.root, EMPTY\n"
                "        remap.mm.mm_mt.root = whole\n"
                "        do_munmap_locked(remap.mm, remap.addr + remap.new_len, -remap.delta)\n",
            ),
        ),
        ("A/shrink",),
    ),
    Mutant(
        "exit-without-lock",
        "an address space is torn down without mmap_lock",
        mm_exit.exit_mmap,
        (("    mmap_write_lock(mm)\n", ""), ("    mmap_write_unlock(mm)\n", "")),
        ("meet/exit",),
    ),
    Mutant(
        "rwsem-readers-ignore-a-writer",
        "a reader gets mmap_lock while a writer holds it",
        RwSemaphore._may_read,
        (("return self._count >= 0 and not self._queue", "return not self._queue"),),
        ("maps/split-above",),
    ),
    Mutant(
        "rwsem-writers-ignore-readers",
        "a writer gets mmap_lock while readers hold it",
        RwSemaphore.down_write,
        (("if self._count == 0 and not self._queue:", "if self._count >= 0 and not self._queue:"),),
        ("meet/at-the-limit", "query-one/mprotect+munmap"),
    ),
    Mutant(
        "rwsem-readers-wake-nobody",
        "the last reader of mmap_lock does not hand over",
        RwSemaphore.up_read,
        (("woken = self._hand_over() if self._queue else ()", "woken = ()"),),
        ("query-one/mprotect+munmap",),
    ),
    Mutant(
        "rwsem-grants-nothing",
        "a task that is granted the lock is not marked",
        RwSemaphore._hand_over,
        (("        waiter.granted = True\n", ""),),
        ("maps/split-above",),
    ),
    Mutant(
        "rwsem-wakes-before-granting",
        "a task is woken before it is granted the lock",
        RwSemaphore._hand_over,
        (
            (
                "        waiter.granted = True\n",
                "        waiter.task.wake_up()\n        waiter.granted = True\n",
            ),
            ("        woken.append(waiter)\n", ""),
            (
                "self._queue = self._queue[len(woken) :]",
                "self._queue = tuple(w for w in self._queue if not w.granted)",
            ),
        ),
        ("maps/split-above",),
    ),
]
