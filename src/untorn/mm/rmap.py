"""Which anonymous pages a VMA may own: anon_vma, set at the first write fault.

A VMA gets one when a private page of it is first written. It decides later merges: two VMAs that
own pages of different anon_vmas cannot be one. A fork child's VMA is on the chains of all its
ancestors' too, and is kept from merging for that reason.
Compare mm/rmap.c:__anon_vma_prepare(), anon_vma_clone(), anon_vma_fork(), unlink_anon_vmas().
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from untorn.locking import sync

if TYPE_CHECKING:
    from untorn.mm.vma import Vma


class AnonVma:
    """The identity that pages of related VMAs share.

    Attributes:
        parent: The anon_vma that it was forked from; itself for the first of a family.
        num_children: anon_vmas that name it as their parent, itself included if it is the first.
        num_active_vmas: VMAs whose anon_vma it is.
    """

    __slots__ = ("num_active_vmas", "num_children", "parent")

    def __init__(self, parent: AnonVma | None = None) -> None:
        self.parent = parent or self
        self.num_children = sync.AtomicInt(0)
        self.num_active_vmas = sync.AtomicInt(0)
        self.parent.num_children.add(1)


def anon_vma_prepare(vma: Vma, neighbour: AnonVma | None) -> None:
    """Give vma an anon_vma unless it has one: the neighbour's if that may be shared.

    Preconditions: mmap_lock held, and mm.page_table_lock.
    """
    if vma.anon_vma is None:
        anon_vma = neighbour or AnonVma()
        anon_vma.num_active_vmas.add(1)
        vma.anon_vma_chain = (anon_vma,)
        vma.anon_vma = anon_vma


def anon_vma_clone(new: Vma, vma: Vma) -> None:
    """Put new, a copy of vma in the same mm, on the same chains.

    Preconditions: mmap_lock held for write; new.anon_vma is vma's.
    """
    new.anon_vma_chain = vma.anon_vma_chain
    if new.anon_vma is not None:
        new.anon_vma.num_active_vmas.add(1)


def anon_vma_fork(new: Vma, vma: Vma) -> None:
    """Put new, a copy of vma in a child's mm, on vma's chains and, if it owns pages, on its own.

    An ancestor's anon_vma that nobody uses any longer is taken rather than a new one made, so
    that chains do not grow with every generation.

    Preconditions: mmap_lock of both held for write.
    """
    new.anon_vma, new.anon_vma_chain = None, ()
    if vma.anon_vma is None:
        return
    new.anon_vma_chain = vma.anon_vma_chain
    for ancestor in vma.anon_vma_chain:
        if ancestor.num_children.load() < 2 and ancestor.num_active_vmas.load() == 0:
            new.anon_vma = ancestor
            ancestor.num_active_vmas.add(1)
            return
    new.anon_vma = AnonVma(vma.anon_vma)
    new.anon_vma.num_active_vmas.add(1)
    new.anon_vma_chain = (*vma.anon_vma_chain, new.anon_vma)


def unlink_anon_vmas(vma: Vma) -> None:
    """Take vma, on its way out, off its chains. Preconditions: detached."""
    if vma.anon_vma is not None:
        vma.anon_vma.num_active_vmas.add(-1)
    vma.anon_vma, vma.anon_vma_chain = None, ()


def is_fork_child(vma: Vma | None) -> bool:
    """Say whether vma may hold pages of a parent process. Compare mm/vma.c:vma_is_fork_child()."""
    return vma is not None and vma.anon_vma is not None and len(vma.anon_vma_chain) != 1
