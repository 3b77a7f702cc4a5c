"""What the checker watches: every field that tasks share, or a reason why not."""

import pytest

from untorn.check.runtime.shared import EXCLUSIVE, GUARDED, POINTS

CONSTANT = {
    *("gate_vma", "gate_vma_flags", "limits", "mmap_base", "mmap_legacy_base", "task_size"),
    *("name", "topdown", "vm_area_cachep", "lock_class", "tree", "read_implies_exec"),
    *("has_drivers",),
    *("ptrace_allowed", "cap_sys_admin", "kind", "_mm", "_locking", "_task", "_ops", "mm"),
    *("huge_pools", "release"),
}
OBJECTS = {
    *("mm_count", "mm_mt", "mm_users", "mmap_lock", "page_table", "vm_refcnt", "page_table_lock"),
    "vm_committed",
    *("_mutex", "lock", "_guard", "_permit", "_vmi", "_counts", "_copy"),
}
"""Their own fields are watched, their methods are steps, or one task has them."""
NOT_SHARED = {"start_brk", "start_stack", "held_locks", "is_writer", "task"}
"""Set when a program begins, or when the object is made, or by its owner alone."""
ANYBODY_MAY_LOOK = {"owner"}
STATISTICS = {"_reads", "_writes", "_waited"}
"""Of mmap_lock; counted in the sections that change its count, which is watched."""
OF_AN_ITERATOR = {"_leaf", "_offset", "_root"}
"""One task has it; its index is watched to show that."""
FRAMES = {"pfn", "__weakref__"}
"""Of the machine, which outlives a run: numbers differ from run to run, and nobody goes by them."""
UNWATCHED = CONSTANT | OBJECTS | NOT_SHARED | ANYBODY_MAY_LOOK | STATISTICS
UNWATCHED |= OF_AN_ITERATOR | FRAMES


@pytest.mark.parametrize("cls", sorted({*POINTS, *GUARDED, *EXCLUSIVE}, key=str))
def test_every_field_is_watched_or_need_not_be(cls: type) -> None:
    watched = {*POINTS.get(cls, ()), *GUARDED.get(cls, ()), *EXCLUSIVE.get(cls, ())}
    slots = set(vars(cls)["__slots__"])
    assert watched <= slots
    assert slots - watched <= UNWATCHED
