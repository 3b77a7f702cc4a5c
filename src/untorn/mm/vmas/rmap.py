"""anon_vma: the owner of a VMA's anonymous pages, set at the first write fault.

A VMA gets an anon_vma when one of its private pages is first written. It shares that of a
neighbour if the two differ at most in their permissions. The anon_vma decides later merges: VMAs
with different anon_vmas cannot become one. The VMA of a fork child is also on the chains of all its
ancestors, and for that reason Linux does not let it merge.
Compare mm/rmap.c:__anon_vma_prepare(), anon_vma_clone(), anon_vma_fork(), unlink_anon_vmas();
mm/vma.c:find_mergeable_anon_vma(), reusable_anon_vma(), anon_vma_compatible().
"""

from untorn.mm.mm_types import AnonVma, MmStruct, Vma, vma_pages
from untorn.mm.mman import VM_ACCESS_FLAGS, VM_STICKY
from untorn.releases.changes import ANON_PGOFF


def vma_anon_prepare(mm: MmStruct, vma: Vma) -> None:
    """Give vma an anon_vma unless it has one.

    Preconditions: mmap_lock held for write, or for read with mm.page_table_lock.
    """
    anon_vma_prepare(vma, _find_mergeable_anon_vma(mm, vma))


def _find_mergeable_anon_vma(mm: MmStruct, vma: Vma) -> AnonVma | None:
    """Return a neighbour's anon_vma that vma may share. Try the VMA above first."""
    # No VMA lock of the neighbours is needed. The fields that are compared change only under
    # mmap_lock (write), which no other task holds now. Their anon_vma is first set under
    # mm.page_table_lock, too.
    above = mm.find_vma(vma.vm_end)
    if above is not None and _compatible(vma, above) and len(above.anon_vma_chain) == 1:
        return above.anon_vma
    below = mm.find_vma_prev(vma.vm_start)
    if below is not None and _compatible(below, vma) and len(below.anon_vma_chain) == 1:
        return below.anon_vma
    return None


def _compatible(lower: Vma, upper: Vma) -> bool:
    return (
        lower.vm_end == upper.vm_start
        and lower.vm_file is upper.vm_file
        and lower.vm_policy == upper.vm_policy
        and not (lower.vm_flags ^ upper.vm_flags) & ~(VM_ACCESS_FLAGS | VM_STICKY)
        and upper.vm_pgoff == lower.vm_pgoff + vma_pages(lower)
        and _own_pages_follow(lower, upper)
    )


def _own_pages_follow(lower: Vma, upper: Vma) -> bool:
    follow = upper.vm_anon_pgoff == lower.vm_anon_pgoff + vma_pages(lower)
    return follow or not lower.vm_mm.release.has(ANON_PGOFF)


def anon_vma_prepare(vma: Vma, neighbour: AnonVma | None) -> None:
    """Give vma an anon_vma unless it has one. It is the neighbour's, or a new one if that is None.

    Preconditions: mmap_lock held, and mm.page_table_lock.
    """
    # Test again under the lock: two faults may need an anon_vma for the same VMA at the same time,
    # and the second one must use that of the first.
    if vma.anon_vma is None:
        anon_vma = neighbour or AnonVma()
        anon_vma.num_active_vmas.add(1)
        vma.anon_vma_chain = (anon_vma,)
        # This store must be the last one: faults test this field without the lock.
        vma.anon_vma = anon_vma


def anon_vma_clone(new: Vma, vma: Vma) -> None:
    """Put new, a copy of vma in the same mm, on the same chains as vma.

    Preconditions: mmap_lock held for write; new.anon_vma is vma's.
    """
    new.anon_vma_chain = vma.anon_vma_chain
    if new.anon_vma is not None:
        new.anon_vma.num_active_vmas.add(1)


def anon_vma_fork(new: Vma, vma: Vma) -> None:
    """Put new, a copy of vma in a child's mm, on vma's chains, and give it its own anon_vma.

    If vma has no anon_vma, new gets none. If an ancestor's anon_vma is no longer in use by any VMA,
    new takes that one, so that the chains do not grow with every generation.

    Preconditions: mmap_lock of both held for write.
    """
    new.anon_vma, new.anon_vma_chain = None, ()
    if vma.anon_vma is None:
        return
    # The child maps the parent's pages until one of them writes, so new is on the parent's chains.
    new.anon_vma_chain = vma.anon_vma_chain
    for ancestor in vma.anon_vma_chain:
        if ancestor.num_children.load() < 2 and ancestor.num_active_vmas.load() == 0:
            new.anon_vma = ancestor
            ancestor.num_active_vmas.add(1)
            return
    # Pages that the child writes from now on belong to the child alone, so they get a new anon_vma.
    new.anon_vma = AnonVma(vma.anon_vma)
    new.anon_vma.num_active_vmas.add(1)
    new.anon_vma_chain = (*vma.anon_vma_chain, new.anon_vma)


def unlink_anon_vmas(vma: Vma) -> None:
    """Take vma off its chains before it is freed. Preconditions: detached."""
    # At 0, a fork of one of its descendants may take the anon_vma; see anon_vma_fork().
    if vma.anon_vma is not None:
        vma.anon_vma.num_active_vmas.add(-1)
    vma.anon_vma, vma.anon_vma_chain = None, ()


def is_fork_child(vma: Vma | None) -> bool:
    """Return whether vma may have pages of a parent process. See mm/vma.c:vma_is_fork_child()."""
    return vma is not None and vma.anon_vma is not None and len(vma.anon_vma_chain) != 1
