"""Mutants of other users of per-VMA locks: page faults, advice, page walks."""

from untorn.check.mutants.mutant import Mutant
from untorn.fs.proc.smaps_gather import smap_gather_stats
from untorn.mm import vma_lookup
from untorn.mm.page_table import PageTable
from untorn.mm.pages import memory, pte_fault

_LOOKUP = vma_lookup.lock_vma_under_rcu

MUTANTS = [
    Mutant(
        "fault-takes-any-vma",
        "a locked VMA is not checked again for the address",
        _LOOKUP,
        (("if vma.vm_start <= addr < vma.vm_end:", "if True:"),),
        ("fault/read/merge-left-partial", "fault/read/munmap+mmap-next", "fault/write/split-above"),
    ),
    Mutant(
        "fault-keeps-vma-lock",
        "a VMA that no longer holds the address stays locked",
        _LOOKUP,
        (("        vma_end_read(vma)\n", ""),),
        ("fault/write/split-above",),
    ),
    Mutant(
        "fault-under-rcu",
        "the page is faulted in under RCU",
        _LOOKUP,
        (("        rcu_read_unlock()\n        if vma.vm_start", "        if vma.vm_start"),),
        ("fault/read/split-above",),
    ),
    Mutant(
        "fault-lets-go-first",
        "the VMA lock is dropped before the page is faulted in",
        memory.handle_mm_fault,
        (
            ("    if vma is not None:\n", "    if vma is not None:\n        vma_end_read(vma)\n"),
            (
                "        finally:\n            vma_end_read(vma)\n",
                "        finally:\n            pass\n",
            ),
        ),
        ("fault/read/munmap",),
    ),
    Mutant(
        "fault-sleeps-for-mmap-lock",
        "a first write waits for mmap_lock while it keeps the VMA locked",
        memory._fault,
        (
            (
                "if under_vma_lock and not mmap_read_trylock(mm):\n            return False\n",
                "if under_vma_lock:\n            mmap_read_lock_killable(mm)\n",
            ),
        ),
        ("fault/write/split-above",),
    ),
    Mutant(
        "anon-vma-unlocked",
        "two first writes may each give a VMA its anon_vma",
        memory.prepare_anon_vma,
        (("        with mm.page_table_lock:\n", "        if True:\n"),),
        ("fault/two",),
    ),
    Mutant(
        "fault-in-unlocked",
        "a page is faulted in without the page table's lock",
        pte_fault.fault_in,
        (("        with page_table.lock:\n", "        if True:\n"),),
        ("fault/two",),
    ),
    Mutant(
        "page-walk-unlocked",
        "pages are counted without the page table's lock",
        smap_gather_stats,
        (("        with page_table.lock:\n", "        if True:\n"),),
        ("pages/smaps-written",),
    ),
    Mutant(
        "pages-cleared-unlocked",
        "pages are cleared without the page table's lock",
        PageTable.clear,
        (("        with self.lock:\n", "        if True:\n"),),
        ("pages/smaps-dropped",),
    ),
]
