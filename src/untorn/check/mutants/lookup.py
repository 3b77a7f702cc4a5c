"""Mutants of the walk: what a reader does with the VMA that it found."""

from untorn.check.mutants.mutant import Mutant
from untorn.mm import vma_lookup
from untorn.mm.mmap_lock import mmap_lock_speculate_try_begin
from untorn.mm.tree.vma_tree import VmaIterator

_LOCK_NEXT = vma_lookup.lock_next_vma

MAPLE_ITERATOR = Mutant(
    "maple-iterator",
    "in a new version of the tree the iterator continues after the entry that covers its last index"
    " now, as Linux's does: its other false gap, which moving it after the lock does not cure",
    VmaIterator.next,
    (
        (
            "leaf, offset = _descend(root, self.index)\n",
            "leaf, offset = _descend(root, self.index)\n"
            "        if self._root is not EMPTY:\n"
            "            covering, at = _descend(root, self.index - 1)\n"
            "            if covering is not EMPTY and covering.starts[at] < self.index:\n"
            "                leaf, offset = _descend(root, covering.ends[at])\n",
        ),
    ),
    ("maps/merge-right", "maps/merge-left"),
)

MUTANTS = [
    Mutant(
        "linux-6.17",
        "the iterator is left where it was: Linux as shipped",
        _LOCK_NEXT,
        (("if vmi.index != vma.vm_end:", "if False:"),),
        ("AB/mprotect-1",),
    ),
    MAPLE_ITERATOR,
    Mutant(
        "no-gap-recheck",
        "a hole is accepted although writers came since the lookup",
        _LOCK_NEXT,
        (("from_addr < vma.vm_start and not", "False and not"),),
        ("maps/split-below",),
    ),
    Mutant(
        "no-behind-check",
        "a VMA that the walk has passed is taken for the next one",
        _LOCK_NEXT,
        (("from_addr >= vma.vm_end or (", "False or ("),),
        ("recycled/behind",),
    ),
    Mutant(
        "behind-by-one",
        "a VMA that ends at the position of the walk is taken for the next one",
        _LOCK_NEXT,
        (("from_addr >= vma.vm_end or (", "from_addr > vma.vm_end or ("),),
        ("recycled/just-behind",),
    ),
    Mutant(
        "sequence-after-lookup",
        "the sequence is sampled after the lookup, not before",
        _LOCK_NEXT,
        (
            ("        seq = mmap_lock_speculate_try_begin(mm)\n", ""),
            (
                "vma = vmi.next()\n",
                "vma = vmi.next()\n        seq = mmap_lock_speculate_try_begin(mm)\n",
            ),
        ),
        ("maps/split-below",),
    ),
    Mutant(
        "recheck-believes",
        "the second lookup of a hole is not compared with the first",
        vma_lookup._gap_is_real,
        (("return vmi.next() is vma", "return vmi.next() is not None"),),
        ("maps/split-below",),
    ),
    Mutant(
        "recheck-goes-on",
        "the second lookup of a hole continues after the first",
        vma_lookup._gap_is_real,
        (("    vmi.set(from_addr)\n", ""),),
        ("maps/split-below", "A/munmap-0", "A.B/munmap-0"),
        "the second lookup then finds another VMA or none, never the same: the reader falls back"
        " to mmap_lock more often than needed, and still shows the right map",
    ),
    Mutant(
        "odd-sequence-sampled",
        "a sequence is compared later although a writer was active",
        mmap_lock_speculate_try_begin,
        (("return None if seq & 1 else seq", "return seq"),),
        ("maps/split-below", "A/mmap-1", "A/move-1-0", "query-one/mprotect+munmap"),
        "a VMA that was found can be locked only after the section that changed it, and the end"
        " of that section changes the sequence, too; if nothing changed it, the hole was there when"
        " it was found",
    ),
    Mutant(
        "detached-goes-on",
        "after a detached VMA the walk continues after it",
        _LOCK_NEXT,
        (("        rcu_read_lock()\n        vmi.set(from_addr)\n", "        rcu_read_lock()\n"),),
        ("A/mmap-0",),
    ),
    Mutant(
        "fallback-goes-on",
        "after the fallback the iterator is left where it was",
        vma_lookup._fallback,
        (("    vmi.set(from_addr if vma is None else vma.vm_end)\n", ""),),
        ("maps/split-above",),
    ),
    Mutant(
        "fallback-keeps-vma-lock",
        "a rejected VMA is still locked when mmap_lock is taken",
        _LOCK_NEXT,
        (("        vma_end_read(vma)\n", ""),),
        ("recycled/behind",),
    ),
    Mutant(
        "fallback-keeps-mmap-lock",
        "mmap_lock is not dropped after the fallback",
        vma_lookup._fallback,
        (("            mmap_read_unlock(mm)\n", "            pass\n"),),
        ("maps/split-above",),
    ),
    Mutant(
        "fallback-under-rcu",
        "the fallback sleeps under RCU",
        _LOCK_NEXT,
        (
            (
                "        rcu_read_unlock()\n        vma_end_read(vma)\n",
                "        vma_end_read(vma)\n",
            ),
        ),
        ("recycled/behind",),
    ),
    Mutant(
        "last-lookup-under-rcu",
        "after the last allowed lookup the fallback sleeps under RCU",
        _LOCK_NEXT,
        (("    else:\n        rcu_read_unlock()\n", "    else:\n"),),
        ("recycled/three-unmapped",),
    ),
    Mutant(
        "always-fall-back",
        "every lookup is made under mmap_lock",
        _LOCK_NEXT,
        (("    for _ in LOOKUPS:\n", "    for _ in ():\n"),),
        ("maps/split-above",),
    ),
    Mutant(
        "iterator-keeps-version",
        "an iterator continues in the version of the tree in which it began",
        VmaIterator.next,
        (("if root is self._root and offset", "if offset"),),
        ("AB/mprotect-2",),
    ),
]
