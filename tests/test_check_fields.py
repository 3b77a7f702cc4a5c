"""What the checker watches: every field that tasks share, or a reason why not."""

import pytest

from untorn.check.shared import GUARDED, POINTS
from untorn.mm.mm_struct import MmStruct
from untorn.mm.vma import Vma

CONSTANT = {"gate_vma", "limits", "mmap_base", "name", "topdown", "vm_area_cachep"}
OBJECTS = {"mm_count", "mm_mt", "mm_users", "mmap_lock", "page_table", "vm_refcnt"}
"""Their own fields are watched, or their methods are steps."""
ONE_MUTEX = {"page_table_lock"}
NOT_SHARED = {"start_brk", "start_stack"}
"""Set when a program begins."""


@pytest.mark.parametrize("cls", [MmStruct, Vma])
def test_every_field_is_watched_or_need_not_be(cls: type) -> None:
    watched = {*POINTS[cls], *GUARDED[cls]}
    slots = set(vars(cls)["__slots__"])
    assert watched <= slots
    assert slots - watched <= CONSTANT | OBJECTS | ONE_MUTEX | NOT_SHARED
    assert not watched & (CONSTANT | OBJECTS | ONE_MUTEX | NOT_SHARED)
