"""What a run leaves behind: locks, waiters, counts, and a consistent address space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from untorn.check.stage.pages import Pages, addr
from untorn.errors import InvariantError
from untorn.locking.rwsem import RwSemaphore
from untorn.mm.mm_types import MmStruct, Vma


class BrokenError(Exception):
    """Something that must hold does not; the message says what, in several lines."""


def check_mm(mm: MmStruct, pinned: Mapping[Vma, int]) -> None:
    """Check one address space after the run, when no access is a step any more."""
    # Locks first: a map that a writer left half changed says less than the lock that it left.
    lock: RwSemaphore = mm.mmap_lock
    if lock._count or lock._queue or lock.owner is not None:
        raise BrokenError(f"mmap_lock is left behind: {lock!r}")
    if _waits(mm):
        raise BrokenError("a writer that waited for readers is left behind as waiting")
    for _, _, vma in mm.mm_mt:
        if vma.vm_refcnt.load() != pinned.get(vma, 1):
            raise BrokenError(f"a VMA is left with a count of {vma.vm_refcnt.load():#x}")
    try:
        mm.check_invariants()
        mm.page_table.check_invariants([(start, end) for start, end, _ in mm.mm_mt])
    except InvariantError as error:
        raise BrokenError(str(error)) from error


def check_written(mm: MmStruct, pages: Iterable[int]) -> None:
    """Check that written pages stay, unless they are unmapped."""
    # A task that maps such a page writes to it afterwards. So if the page is mapped at the end,
    # that write came after the last unmapping, and must still be there.
    for page in pages:
        mapped = mm.mm_mt.find_slot(addr(page))
        parts = mm.page_table.parts(addr(page), addr(page + 1))
        if mapped and mapped[0] <= addr(page) and all(part.is_empty for part in parts):
            raise BrokenError(f"the page written to at {addr(page):08x} is gone")


def check_counts(process: Pages, users: int, count: int) -> None:
    """Check that an mm has the users and references that it began with, less the process's own."""
    mm, gone = process.mm, int(process.exited)
    # A reader is a user while its call lasts, and all calls are over. What the process itself had
    # goes with its end; all users together are one reference.
    left = mm.mm_users.load(), mm.mm_count.load()
    if left != (users - gone, count - gone):
        raise BrokenError(f"an mm is left with {left[0]} users and {left[1]} references")
    if gone and any(True for _ in mm.mm_mt):
        raise BrokenError("an mm is left with VMAs after its process ended")


def end_of(process: Pages) -> tuple[object, ...]:
    """Return a key of an end: one that was good once is not checked again."""
    mm = process.mm
    vmas = tuple(
        (start, end, vma.vm_start, vma.vm_end, vma.vm_flags, vma.vm_refcnt.load())
        for start, end, vma in mm.mm_mt
    )
    lock = mm.mmap_lock
    counts = process.exited, mm.mm_users.load(), mm.mm_count.load()
    accounts = mm.map_count, mm.total_vm, mm.data_vm, mm.exec_vm, mm.stack_vm, mm.locked_vm
    pages = tuple((at, bytes(table.ptes)) for at, table in mm.page_table._tables.items())
    sleepers = lock._count, lock._queue, lock.owner, _waits(mm)
    return vmas, pages, accounts, sleepers, counts


def _waits(mm: MmStruct) -> bool:
    """Return whether a writer waits for readers; a dropped mm has no place for one."""
    wait = getattr(mm, "vma_writer_wait", None)
    return wait is not None and wait.task is not None
