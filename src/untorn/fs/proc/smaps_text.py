"""The lines of smaps and smaps_rollup, to the byte.

Fields that are not modelled print 0: docs/kernel-map.md says which, and why.
Compare fs/proc/task_mmu.c:show_smap(), __show_smap(), show_smap_vma_flags();
proc_pid_smaps(5).
"""

from functools import lru_cache

from untorn.fs.proc.show_map import gate_line, show_map
from untorn.fs.proc.smaps_gather import PSS_SHIFT, MemSizeStats
from untorn.maps.entry import rollup_line
from untorn.maps.smaps_lines import (
    BY_KIND,
    OTHERS,
    RESIDENT,
    SIZES,
    THP_ELIGIBLE,
    flags_line,
    kb_lines,
    plain_line,
)
from untorn.mm import mman
from untorn.mm.mm_types import Vma, vma_kernel_pagesize

_VMA = kb_lines(*SIZES)
_RESIDENT = kb_lines(*RESIDENT)
_BY_KIND = kb_lines(*BY_KIND)
_OTHERS = kb_lines(*OTHERS)
_THP_ELIGIBLE = plain_line(THP_ELIGIBLE) % 0

MNEMONICS = (
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
            _RESIDENT % _resident(mss) + _OTHERS % _others(mss) if mss.resident else _NO_PAGES,
            _last(vma.vm_flags),
        )
    )


def show_gate_smap(flags: int) -> bytes:
    """Return the record of the gate VMA for its VM_* flags: nothing is ever resident."""
    return b"".join((gate_line(flags), _VMA % (4, 4, 4), _NO_PAGES, _last(flags)))


def show_rollup(start: int, end: int, mss: MemSizeStats) -> bytes:
    """Return the text of smaps_rollup for VMAs from byte address start to end."""
    pss_by_kind = mss.pss_anon, mss.pss_file, mss.pss_shmem
    return b"".join(
        (
            rollup_line(start, end),
            _RESIDENT % _resident(mss),
            _BY_KIND % tuple(pss >> PSS_SHIFT + 10 for pss in pss_by_kind),
            _OTHERS % _others(mss),
        )
    )


def _last(flags: int) -> bytes:
    return _THP_ELIGIBLE + flags_line(vm_flags_text(flags))


def _resident(mss: MemSizeStats) -> tuple[int, int, int]:
    return mss.resident >> 10, mss.pss >> PSS_SHIFT + 10, mss.pss_dirty >> PSS_SHIFT + 10


def _others(mss: MemSizeStats) -> tuple[int, ...]:
    modelled = {
        "Shared_Clean": mss.shared_clean >> 10,
        "Shared_Dirty": mss.shared_dirty >> 10,
        "Private_Clean": mss.private_clean >> 10,
        "Private_Dirty": mss.private_dirty >> 10,
        "Anonymous": mss.anonymous >> 10,
        "LazyFree": mss.lazyfree >> 10,
        "Locked": mss.pss_locked >> PSS_SHIFT + 10,
    }
    return tuple(modelled.get(name, 0) for name in OTHERS)


@lru_cache(maxsize=1024)
def vm_flags_text(flags: int) -> bytes:
    """Return the two-letter codes of VM_* bits, each followed by a space."""
    return b"".join(mnemonic for bit, mnemonic in MNEMONICS if flags & bit)


_NO_PAGES = _RESIDENT % _resident(MemSizeStats()) + _OTHERS % _others(MemSizeStats())
