"""Mutants of the other lockings: rcu, and mmap_lock for a whole fill."""

from untorn.check.mutants.mutant import Mutant
from untorn.fs.proc.maps_locking.mmap_lock import MmapLocking
from untorn.fs.proc.maps_locking.rcu import RcuLocking

MUTANTS = [
    Mutant(
        "rcu-believes",
        "a copy is shown although a writer came while it was made",
        RcuLocking.get_next_vma,
        (("if not mmap_lock_speculate_retry(self._mm, self._seq):", "if True:"),),
        ("rcu/split-above", "rcu/merge-left-partial"),
    ),
    Mutant(
        "rcu-goes-on",
        "after an invalid copy the walk continues after it",
        RcuLocking.get_next_vma,
        (("        self._vmi.set(from_addr)\n", ""),),
        ("rcu/split-above",),
    ),
    Mutant(
        "rcu-sequence-kept",
        "after a writer the copy is compared with the old sequence: it is never valid again",
        RcuLocking.get_next_vma,
        (("        self._seq = self._wait", "        self._wait"),),
        ("rcu/split-above",),
    ),
    Mutant(
        "rcu-odd-sampled",
        "a copy is compared with a sequence that was sampled while a writer was active",
        RcuLocking.lock_vma_range,
        (
            (
                "self._seq = self._wait_for_writer() if seq is None else seq",
                "self._seq = self._mm.mm_lock_seq if seq is None else seq",
            ),
        ),
        ("rcu/split-above", "rcu/merge-left-partial"),
    ),
    Mutant(
        "mmap-lock-let-go",
        "the oldest reader drops mmap_lock before it looks",
        MmapLocking.lock_vma_range,
        (("    self._locked = True\n", "    mmap_read_unlock(self._mm)\n"),),
        ("mmap_lock/split-above",),
    ),
]
