"""The lines of smaps and smaps_rollup, to the byte.

Fields that are not modelled print 0: docs/kernel-map.md says which, and why.
Compare fs/proc/task_mmu.c:show_smap(), __show_smap(), show_smap_vma_flags();
proc_pid_smaps(5).
"""

from functools import lru_cache

from untorn.fs.proc.show_map import ROLLUP_LINE, gate_line, show_map
from untorn.fs.proc.smaps_gather import PSS_SHIFT, MemSizeStats
from untorn.mm import mman
from untorn.mm.mm_types import Vma, vma_kernel_pagesize

_VMA = b"""\
Size:           %8d kB
KernelPageSize: %8d kB
MMUPageSize:    %8d kB
"""
_FIRST = b"""\
Rss:            %8d kB
Pss:            %8d kB
Pss_Dirty:      %8d kB
"""
_BY_KIND = b"""\
Pss_Anon:       %8d kB
Pss_File:       %8d kB
Pss_Shmem:      %8d kB
"""
_OTHERS = b"""\
Shared_Clean:   %8d kB
Shared_Dirty:   %8d kB
Private_Clean:  %8d kB
Private_Dirty:  %8d kB
Referenced:            0 kB
Anonymous:      %8d kB
KSM:                   0 kB
LazyFree:       %8d kB
AnonHugePages:         0 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:         0 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
Swap:                  0 kB
SwapPss:               0 kB
Locked:         %8d kB
"""
_LAST = b"THPeligible:           0\nVmFlags: %s\n"

_MNEMONICS = (
    (mman.VM_READ, b"rd "),
    (mman.VM_WRITE, b"wr "),
    (mman.VM_EXEC, b"ex "),
    (mman.VM_SHARED, b"sh "),
    (mman.VM_MAYREAD, b"mr "),
    (mman.VM_MAYWRITE, b"mw "),
    (mman.VM_MAYEXEC, b"me "),
    (mman.VM_MAYSHARE, b"ms "),
    (mman.VM_GROWSDOWN, b"gd "),
    (mman.VM_PFNMAP, b"pf "),
    (mman.VM_MAYBE_GUARD, b"gu "),
    (mman.VM_LOCKED, b"lo "),
    (mman.VM_IO, b"io "),
    (mman.VM_SEQ_READ, b"sr "),
    (mman.VM_RAND_READ, b"rr "),
    (mman.VM_DONTCOPY, b"dc "),
    (mman.VM_DONTEXPAND, b"de "),
    (mman.VM_LOCKONFAULT, b"lf "),
    (mman.VM_ACCOUNT, b"ac "),
    (mman.VM_NORESERVE, b"nr "),
    (mman.VM_HUGETLB, b"ht "),
    (mman.VM_SYNC, b"sf "),
    (mman.VM_WIPEONFORK, b"wf "),
    (mman.VM_DONTDUMP, b"dd "),
    (mman.VM_MIXEDMAP, b"mm "),
    (mman.VM_HUGEPAGE, b"hg "),
    (mman.VM_NOHUGEPAGE, b"nh "),
    (mman.VM_MERGEABLE, b"mg "),
    (mman.VM_DROPPABLE, b"dp "),
    (mman.VM_SEALED, b"sl "),
)
"""In the order of their bits, as they are printed."""


def show_smap(vma: Vma, mss: MemSizeStats) -> bytes:
    """Return the record of vma. Preconditions: vma kept still."""
    page_size = vma_kernel_pagesize(vma) >> 10
    return b"".join(
        (
            show_map(vma),
            _VMA % (vma.vm_end - vma.vm_start >> 10, page_size, page_size),
            _FIRST % _first(mss) + _OTHERS % _others(mss) if mss.resident else _NO_PAGES,
            _LAST % vm_flags_text(vma.vm_flags),
        )
    )


def show_gate_smap(flags: int) -> bytes:
    """Return the record of the gate VMA for its VM_* flags: nothing is ever resident."""
    return b"".join(
        (gate_line(flags), _VMA % (4, 4, 4), _NO_PAGES, _LAST % vm_flags_text(flags)),
    )


def show_rollup(start: int, end: int, mss: MemSizeStats) -> bytes:
    """Return the text of smaps_rollup for VMAs from byte address start to end."""
    pss_by_kind = mss.pss_anon, mss.pss_file, mss.pss_shmem
    return b"".join(
        (
            ROLLUP_LINE % (b"%08x-%08x ---p 00000000 00:00 0 " % (start, end)),
            _FIRST % _first(mss),
            _BY_KIND % tuple(pss >> PSS_SHIFT + 10 for pss in pss_by_kind),
            _OTHERS % _others(mss),
        )
    )


def _first(mss: MemSizeStats) -> tuple[int, int, int]:
    return mss.resident >> 10, mss.pss >> PSS_SHIFT + 10, mss.pss_dirty >> PSS_SHIFT + 10


def _others(mss: MemSizeStats) -> tuple[int, ...]:
    return (
        mss.shared_clean >> 10,
        mss.shared_dirty >> 10,
        mss.private_clean >> 10,
        mss.private_dirty >> 10,
        mss.anonymous >> 10,
        mss.lazyfree >> 10,
        mss.pss_locked >> PSS_SHIFT + 10,
    )


@lru_cache(maxsize=1024)
def vm_flags_text(flags: int) -> bytes:
    """Return the two-letter codes of VM_* bits, each followed by a space."""
    return b"".join(mnemonic for bit, mnemonic in _MNEMONICS if flags & bit)


_NO_PAGES = _FIRST % _first(MemSizeStats()) + _OTHERS % _others(MemSizeStats())
