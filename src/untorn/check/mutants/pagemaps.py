"""Mutants of pagemap: what keeps a slice still, and what it shows."""

from untorn.check.mutants.mutant import Mutant
from untorn.fs.proc.pagemap import ProcPagemap, pagemap_slice

MUTANTS = [
    Mutant(
        "slice-without-lock",
        "mmap_lock is dropped before a slice is read",
        ProcPagemap._slices,
        (
            (
                "        mmap_read_lock_killable(mm)\n",
                "        mmap_read_lock_killable(mm)\n        mmap_read_unlock(mm)\n",
            ),
            ("            mmap_read_unlock(mm)\n", "            pass\n"),
        ),
        ("pagemap/one-read/moved-near",),
    ),
    Mutant(
        "slice-in-two-holds",
        "mmap_lock is dropped between two pages of a slice",
        ProcPagemap._slices,
        (("(start & -PMD_SIZE) + PMD_SIZE", "start + (1 << PAGE_SHIFT)"),),
        ("pagemap/sliced/moved-near",),
    ),
    Mutant(
        "slice-by-tables",
        "a slice shows what is in the page table, even if it is no longer mapped",
        pagemap_slice,
        (("max(start, vma.vm_start), min(end, vma.vm_end)", "start, end"),),
        ("pagemap/sliced/unmapped",),
    ),
    Mutant(
        "slice-of-an-unlocked-table",
        "entries are read without the page table's lock",
        pagemap_slice,
        (("        with page_table.lock:\n", "        if True:\n"),),
        ("pagemap/sliced/dropped",),
    ),
    Mutant(
        "slice-without-user",
        "pagemap does not keep the mm in use",
        ProcPagemap.read_at,
        (
            ("not mmget_not_zero(mm):", "mm.mm_users.load() == 0:"),
            ("        mmput(mm)\n", "        pass\n"),
        ),
        ("pagemap/sliced/left",),
    ),
    Mutant(
        "slice-keeps-user",
        "the mm stays in use after a read of pagemap",
        ProcPagemap.read_at,
        (("        mmput(mm)\n", "        pass\n"),),
        ("pagemap/sliced/dropped",),
    ),
]
