"""The release of an address space, and what it decides."""

import os
from types import SimpleNamespace

import pytest

from untorn.fs.proc.files import PROC_FILES
from untorn.releases.changes import MSEAL, all_changes
from untorn.releases.release import (
    FIRST,
    LAST,
    Change,
    Release,
    modelled,
    modelled_by_name,
    running_release,
)
from untorn.syscalls import Process


def test_a_process_has_the_release_it_is_given_and_so_do_its_children() -> None:
    process = Process(release=(6, 12))
    assert process.fork().mm.release == Release(6, 12)


def test_a_process_without_a_given_release_has_the_running_one_or_the_nearest() -> None:
    assert Process().mm.release in (running_release(), FIRST, LAST)


@pytest.mark.parametrize("release", [(5, 10), (7, 4)])
def test_a_release_that_is_not_modelled_is_refused(release: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"the engine models Linux 6.1 to 7.3, not"):
        modelled(release)


@pytest.mark.parametrize("name", ["nonsense", "6", "6.18.44.3", "6.18-rc1"])
def test_a_name_that_is_no_release_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"a release is 6.18 or 6.18.44, not {name}"):
        modelled_by_name(name)


def test_a_release_has_a_change_from_its_first_release_on() -> None:
    assert not Release(6, 9).has(MSEAL)
    assert Release(6, 10).has(MSEAL)
    assert Release(7, 0).has(MSEAL)


def test_changes_are_in_order_and_after_the_first_release() -> None:
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


def test_an_update_is_told_from_the_release_that_it_updates() -> None:
    assert Release.parse("6.18.44-fc-v782") == Release(6, 18, 44)
    assert Release.parse("7.3-rc1") == Release(7, 3)
    assert Release.parse("odd") == Release(0, 0)
    assert str(Release(6, 18)) == "6.18"
    assert str(Release(6, 18, 44)) == "6.18.44"
    assert Process(release=(7, 3, 4)).mm.release == Release(7, 3, 4)


def test_later_updates_of_a_series_have_a_change_that_was_carried_back_to_it() -> None:
    change = Change(Release(7, 1), "it does", "", carried_back=(Release(6, 12, 9),))
    assert [Release(*r).has(change) for r in ((6, 12, 8), (6, 12, 9), (6, 13, 1), (7, 1))] == [
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("release", "version", "told"),
    [
        ("6.1.0-50-cloud-amd64", "#1 SMP Debian 6.1.176-1 (2026-08-01)", Release(6, 1, 176)),
        ("6.12.117+deb13-amd64", "#1 SMP Debian 6.12.117-1 (2026-08-01)", Release(6, 12, 117)),
        ("6.18.44-fc-v782", "#1 SMP @0", Release(6, 18, 44)),
        ("7.3.4-mine", "#1 built on Debian 6.1.176", Release(7, 3, 4)),
    ],
)
def test_updates_are_told_by_the_release_or_by_debians_version(
    release: str, version: str, told: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_by_kernel = SimpleNamespace(release=release, version=version)
    monkeypatch.setattr(os, "uname", lambda: told_by_kernel)
    assert running_release() == told
