"""Mutants of the files: positions, fills, queries, and how a strategy keeps VMAs still."""

from untorn.check.mutants.mutant import Mutant
from untorn.fs.proc.do_procmap_query import do_procmap_query
from untorn.fs.proc.maps import ProcMapsFile
from untorn.fs.proc.maps_locking.vma_lock import VmaLocking
from untorn.fs.proc.task_mmu import ProcMaps
from untorn.fs.seq_file import SeqFile

MUTANTS = [
    Mutant(
        "position-by-vm-start",
        "the position of a walk is the start of the VMA shown last",
        ProcMaps.next,
        (("m.index = vma.vm_end", "m.index = vma.vm_start"),),
        ("meet/line-by-line",),
    ),
    Mutant(
        "position-not-taken-back",
        "a VMA that was fetched but not shown is not fetched again",
        ProcMaps.start,
        (("m.index = self._last_pos", "pass"),),
        ("meet/line-by-line",),
    ),
    Mutant(
        "mm-put-before-unlock",
        "the mm is put before the VMA lock",
        ProcMaps.stop,
        (
            ("    mmput(self._mm)\n", ""),
            (
                "    self._locking.unlock_vma_range()\n",
                "    mmput(self._mm)\n    self._locking.unlock_vma_range()\n",
            ),
        ),
        ("meet/exit", "meet/exit-between-lines"),
    ),
    Mutant(
        "fill-fails-without-stop",
        "a fill that fails releases nothing",
        SeqFile._fill,
        (
            (
                "    finally:\n        ops.stop(self)\n    return",
                "    ops.stop(self)\n    return",
            ),
        ),
        ("meet/killed-pass",),
    ),
    Mutant(
        "query-without-user",
        "a query does not keep the mm in use",
        do_procmap_query,
        (
            ("or not mmget_not_zero(mm):", "or mm.mm_users.load() == 0:"),
            ("        mmput(mm)\n", "        pass\n"),
        ),
        ("meet/reaped",),
    ),
    Mutant(
        "lock-next-first",
        "a VMA lock is released only when the next VMA is locked",
        VmaLocking.get_next_vma,
        (
            ("        vma_end_read(locked)\n", ""),
            (
                "    self._locked_vma = vma\n",
                "    if locked is not None:\n        vma_end_read(locked)\n"
                "    self._locked_vma = vma\n",
            ),
        ),
        ("AB/mprotect-1",),
    ),
    Mutant(
        "limit-unseen",
        "a reader that meets the limit does not continue under mmap_lock",
        VmaLocking.get_next_vma,
        (("except BlockingIOError:", "except ChildProcessError:"),),
        ("meet/at-the-limit",),
    ),
    Mutant(
        "one-context-a-file",
        "all queries of a file share one locking context: a version of Linux that was withdrawn",
        ProcMapsFile.ioctl,
        (("self._new_locking()", "self._locking"),),
        ("meet/two-queries",),
    ),
    Mutant(
        "smaps-goes-on",
        "after a page walk the iterator is left where it was",
        VmaLocking.end_page_walk,
        (("        self._vmi.set(vma.vm_end)\n", ""),),
        ("smaps/split-above", "smaps/merge-left-partial", "smaps/join-both"),
        "the VMA is read-locked throughout, so its end is still the one at which lock_next_vma()"
        " set the iterator, and the next lookup uses the newest tree anyway",
    ),
    Mutant(
        "smaps-walk-under-rcu",
        "pages are walked under RCU",
        VmaLocking.begin_page_walk,
        (("        rcu_read_unlock()\n", "        pass\n"),),
        ("smaps/split-above",),
    ),
]
