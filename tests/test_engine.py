"""The engine's public names, besides what test_public.py says of all public names."""

import re
from types import ModuleType

import pytest

from untorn import engine
from untorn.maps import page, pagemap
from untorn.mm import limits, mempolicy, mman
from untorn.mm.calls import shm

FAMILIES: list[tuple[ModuleType, str]] = [
    (mman, "PROT_|MAP_|MREMAP_|MADV_|MCL_|MLOCK_|MS_"),
    (limits, "OVERCOMMIT_|RLIM_"),
    (mempolicy, "MPOL_"),
    (shm, "SHM_"),
    (pagemap, "PM_SCAN_|PAGE_IS_|PAGEMAP_SCAN"),
    (page, "PAGE_SIZE|PMD_SIZE|PUD_SIZE|TASK_SIZE|IA32_"),
]


def test_nothing_else_can_be_taken_for_a_public_name() -> None:
    assert {name for name in vars(engine) if not name.startswith("_")} == set(engine.__all__)


@pytest.mark.parametrize(("module", "names"), FAMILIES)
def test_constants_are_public_by_families(module: ModuleType, names: str) -> None:
    family = {name for name in vars(module) if re.match(names, name)} - {"SHM_OPS"}
    assert family <= set(engine.__all__)
