"""/proc/PID/numa_maps of an engine process: the pages of each VMA by NUMA node.

All memory is on node 0, whatever the policy. The fields swapcache= and writeback= are left out,
because pages are never swapped or written to a disk. So is active=, because the engine has no
reclaim that would decide which pages are active. Linux leaves active= out if all pages are active.
Compare fs/proc/task_mmu.c:show_numa_map(), gather_stats(); numa(7).
"""

from dataclasses import dataclass
from functools import partial

from untorn.fs.proc.maps_locking import PageWalkLocking
from untorn.fs.proc.task_mmu import GateVma, ProcMaps, Record, walk_pages
from untorn.locking import lockdep
from untorn.mm.calls.mbind import shared_policy
from untorn.mm.filemap import PageKind
from untorn.mm.hugetlb import HugePage
from untorn.mm.mempolicy import Mempolicy
from untorn.mm.mm_types import Vma, vma_kernel_pagesize
from untorn.mm.mman import VM_HUGETLB
from untorn.mm.page_table import ANON, DIRTY, Part
from untorn.mm.pages.hugetlb_fault import huge_pages_in


@dataclass(slots=True)
class NumaMaps:
    """Page counts of one VMA, owned by the task that adds them up. Compare struct numa_maps."""

    pages: int = 0
    anon: int = 0
    dirty: int = 0
    mapcount_max: int = 0


class ProcNumaMaps(ProcMaps[PageWalkLocking]):
    """The records. The gate VMA has no line, because it has no pages of the process."""

    __slots__ = ()

    def show(self, record: Record) -> bytes:
        """Walk the record's pages and return its line. Raise as walk_pages()."""
        if isinstance(record, GateVma):
            return b""
        assert self._locking is not None
        md = NumaMaps()
        walk_pages(self._locking, record, "numa_maps", partial(gather_stats, md, record))
        return show_numa_map(record, md, self._task.mempolicy)


def gather_stats(md: NumaMaps, vma: Vma) -> None:
    """Add the pages of vma.

    Preconditions: vma stable: read-locked, or mmap_lock held; RCU not held.

    Context: takes the page table's lock for one table at a time.
    """
    if lockdep.on:
        lockdep.might_sleep("a page walk")
    page_table = vma.vm_mm.page_table
    if vma.vm_flags & VM_HUGETLB:
        _add_huge(md, huge_pages_in(vma, vma.vm_start, vma.vm_end))
        return
    for part in page_table.parts(vma.vm_start, vma.vm_end):
        with page_table.lock:
            _add(md, part)


def _add(md: NumaMaps, part: Part) -> None:
    table, first, last, _ = part
    dirty = table.ptes.count(ANON | DIRTY, first, last)
    own = table.ptes.count(ANON, first, last) + dirty
    shared = table.shared_in(first, last)
    md.pages += own + len(shared)
    md.anon += own + sum(page.kind is PageKind.ANON for _, page in shared)
    md.dirty += dirty + sum(page.dirty or table.ptes[i] & DIRTY != 0 for i, page in shared)
    counts = (page.mapcount for _, page in shared)
    md.mapcount_max = max(md.mapcount_max, bool(own), *counts)


def _add_huge(md: NumaMaps, pages: list[HugePage]) -> None:
    """Add huge pages, each as one page. Those of a file are always dirty.

    Compare gather_hugetlb_stats().
    """
    md.pages += len(pages)
    md.anon += sum(page.inode is None for page in pages)
    md.dirty += sum(page.inode is not None or page.dirty for page in pages)
    md.mapcount_max = max(md.mapcount_max, *(page.mapcount for page in pages), 0)


def show_numa_map(vma: Vma, md: NumaMaps, task_policy: Mempolicy | None) -> bytes:
    """Return the line of vma. If vma has no policy, the line shows the task's.

    Preconditions: vma stable.
    """
    policy = _vma_policy(vma) or task_policy
    line = b"%08x " % vma.vm_start + (b"default" if policy is None else bytes(policy)) + _what(vma)
    if vma.vm_flags & VM_HUGETLB:
        line += b" huge"
    return line + (_counts(vma, md) if md.pages else b"") + b"\n"


def _vma_policy(vma: Vma) -> Mempolicy | None:
    """Return the policy of the first page. Compare mm/mempolicy.c:__get_vma_policy()."""
    inode = shared_policy(vma)
    return vma.vm_policy if inode is None else inode.policy(vma.vm_pgoff)


def _what(vma: Vma) -> bytes:
    mm = vma.vm_mm
    if vma.vm_file is not None:
        return b" file=" + _mangle_path(vma.vm_file.path)
    if vma.vm_start < mm.brk and vma.vm_end > mm.start_brk:
        return b" heap"
    return b" stack" if vma.vm_start <= mm.start_stack <= vma.vm_end else b""


def _mangle_path(path: bytes) -> bytes:
    """Escape characters that would end a field. Compare fs/seq_file.c:mangle_path()."""
    for byte in b"\n\t= ":
        path = path.replace(bytes([byte]), b"\\%03o" % byte)
    return path


def _counts(vma: Vma, md: NumaMaps) -> bytes:
    is_mixed = md.pages not in (md.anon, md.dirty)
    fields = (
        (b"anon", md.anon),
        (b"dirty", md.dirty),
        (b"mapped", md.pages if is_mixed else 0),
        (b"mapmax", md.mapcount_max if md.mapcount_max > 1 else 0),
        (b"N0", md.pages),
        (b"kernelpagesize_kB", vma_kernel_pagesize(vma) >> 10),
    )
    return b"".join(b" %s=%d" % (name, number) for name, number in fields if number)
