"""What the arguments drawn for scripts leave alone."""

from random import Random

import pytest

from untorn.conform.generate.extents import Extents
from untorn.conform.generate.range_arguments import RangeArguments
from untorn.maps.page import TASK_SIZE
from untorn.mm.mm_types import MmStruct
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.vmas.vdso import map_vdso
from untorn.releases.release import FIRST, LAST, Release


@pytest.mark.parametrize("release", [FIRST, Release(6, 18), Release(7, 1), LAST])
def test_no_page_of_vvar_is_touched(release: Release) -> None:
    mm = MmStruct(release=release)
    mmap_write_lock(mm)
    map_vdso(mm)
    mmap_write_unlock(mm)
    data = [vma for _, _, vma in mm.mm_mt if vma.vm_ops and vma.vm_ops.name != b"[vdso]"]
    random = Random(1)
    extents = Extents(random, TASK_SIZE)
    extents.look(mm)
    drawn = [RangeArguments(random, extents).touch_read()[0] for _ in range(300)]
    assert data
    assert not [addr for addr in drawn for vma in data if vma.vm_start <= addr < vma.vm_end]
    assert any(addr > 1 for addr in drawn)
