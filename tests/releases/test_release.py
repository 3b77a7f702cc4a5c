"""Which release an address space is, and what that decides."""

import pytest

from untorn.fs.proc.files import PROC_FILES
from untorn.releases.changes import MSEAL, all_changes
from untorn.releases.release import FIRST, LAST, Release, modelled, running_release
from untorn.syscalls import Process


def test_a_process_is_of_the_release_it_is_told_and_so_are_its_children() -> None:
    process = Process(release=(6, 12))
    assert process.fork().mm.release == Release(6, 12)


def test_a_process_that_is_told_nothing_is_of_the_running_one_or_the_nearest() -> None:
    assert Process().mm.release == min(max(running_release(), FIRST), LAST)


@pytest.mark.parametrize("release", [(5, 10), (7, 4)])
def test_a_release_that_is_not_modelled_is_refused(release: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"the engine models Linux 6.1 to 7.3, not"):
        modelled(release)


def test_a_change_is_had_from_its_release_on() -> None:
    assert not Release(6, 9).has(MSEAL)
    assert Release(6, 10).has(MSEAL)
    assert Release(7, 0).has(MSEAL)


def test_changes_stand_in_order_and_after_the_first_release() -> None:
    changes = [change for _, change in all_changes()]
    assert changes == sorted(changes, key=lambda change: change.since)
    assert all(change.since > FIRST for change in changes)


@pytest.mark.parametrize(
    ("release", "file", "reader"),
    [
        ((6, 16), "maps", "mmap_lock"),
        ((6, 17), "maps", "vma_lock"),
        ((7, 1), "smaps", "mmap_lock"),
        ((7, 2), "numa_maps", "vma_lock"),
        ((7, 3), "smaps_rollup", "mmap_lock"),
    ],
)
def test_a_file_is_read_as_the_release_reads_it(
    release: tuple[int, int], file: str, reader: str
) -> None:

    assert PROC_FILES[file].locking_of(Release(*release)) == reader
