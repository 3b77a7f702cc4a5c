"""Write the lines of smaps and smaps_rollup exactly as Linux does.

Fields that are not modelled show 0: docs/kernel-map.md says which, and why.
Compare fs/proc/task_mmu.c:show_smap(), __show_smap(), show_smap_vma_flags();
proc_pid_smaps(5).
"""

from functools import lru_cache

from untorn.fs.proc.show_map import gate_line, show_map
from untorn.fs.proc.smaps_gather import PSS_SHIFT, MemSizeStats
from untorn.maps.entry import rollup_line
from untorn.maps.smaps_lines import (
    BY_KIND,
    NUMBER_WIDTH,
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
from untorn.releases.changes import LOCKONFAULT_SHOWN, SMAPS_KSM, THP_ELIGIBLE_WIDE
from untorn.releases.release import Release

_VMA = kb_lines(*SIZES)
_RESIDENT = kb_lines(*RESIDENT)
_BY_KIND = kb_lines(*BY_KIND)

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
"""The codes in the order of their bits, which is the order of printing."""
_NO_MNEMONIC = b"?? "


def show_smap(vma: Vma, mss: MemSizeStats) -> bytes:
    """Return the record of vma. Preconditions: vma stable."""
    page_size = vma_kernel_pagesize(vma) >> 10
    release = vma.vm_mm.release
    return b"".join(
        (
            show_map(vma),
            _VMA % (vma.vm_end - vma.vm_start >> 10, page_size, page_size),
            _no_pages(release) if mss == _NONE else _pages(mss, release),
            _last(vma.vm_flags, release),
        )
    )


def show_gate_smap(flags: int, release: Release) -> bytes:
    """Return the record of a gate VMA with these VM_* flags. It never has resident pages."""
    return b"".join((gate_line(flags), _VMA % (4, 4, 4), _no_pages(release), _last(flags, release)))


def show_rollup(start: int, end: int, mss: MemSizeStats, release: Release) -> bytes:
    """Return the text of smaps_rollup for VMAs from byte address start to end."""
    pss_by_kind = mss.pss_anon, mss.pss_file, mss.pss_shmem
    return b"".join(
        (
            rollup_line(start, end),
            _RESIDENT % _resident(mss),
            _BY_KIND % tuple(pss >> PSS_SHIFT + 10 for pss in pss_by_kind),
            _others(mss, release),
        )
    )


def _pages(mss: MemSizeStats, release: Release) -> bytes:
    return _RESIDENT % _resident(mss) + _others(mss, release)


@lru_cache
def _no_pages(release: Release) -> bytes:
    return _pages(_NONE, release)


def _last(flags: int, release: Release) -> bytes:
    return _thp_eligible(release) + flags_line(vm_flags_text(flags, release))


@lru_cache
def _thp_eligible(release: Release) -> bytes:
    return plain_line(THP_ELIGIBLE, NUMBER_WIDTH if release.has(THP_ELIGIBLE_WIDE) else 1) % 0


def _resident(mss: MemSizeStats) -> tuple[int, int, int]:
    return mss.resident >> 10, mss.pss >> PSS_SHIFT + 10, mss.pss_dirty >> PSS_SHIFT + 10


def _others(mss: MemSizeStats, release: Release) -> bytes:
    modelled = {
        "Shared_Clean": mss.shared_clean >> 10,
        "Shared_Dirty": mss.shared_dirty >> 10,
        "Private_Clean": mss.private_clean >> 10,
        "Private_Dirty": mss.private_dirty >> 10,
        "Anonymous": mss.anonymous >> 10,
        "LazyFree": mss.lazyfree >> 10,
        "Shared_Hugetlb": mss.shared_hugetlb >> 10,
        "Private_Hugetlb": mss.private_hugetlb >> 10,
        "Locked": mss.pss_locked >> PSS_SHIFT + 10,
    }
    names = _names(release)
    return kb_lines(*names) % tuple(modelled.get(name, 0) for name in names)


@lru_cache
def _names(release: Release) -> tuple[str, ...]:
    return OTHERS if release.has(SMAPS_KSM) else tuple(name for name in OTHERS if name != "KSM")


@lru_cache(maxsize=1024)
def vm_flags_text(flags: int, release: Release) -> bytes:
    """Return the two-letter codes of VM_* bits, each followed by a space."""
    codes = dict(MNEMONICS)
    if not release.has(LOCKONFAULT_SHOWN):
        codes[mman.VM_LOCKONFAULT] = _NO_MNEMONIC
    return b"".join(code for bit, code in codes.items() if flags & bit)


_NONE = MemSizeStats()
