"""Each refusal of mmap, munmap, mprotect and mseal: the same errno from engine and kernel."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oracle import errno_of_mmap as table
from tests.oracle import errno_of_others as others
from tests.oracle.real_files import set_append_only
from tests.oracle.rows import GUESSING, Files, Row, files_in, skip_without
from tests.oracle.worlds import RW, EngineWorld, World
from untorn.conform.traced import open_file
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import PROT_NONE


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return files_in(tmp_path)


def outcomes(rows: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=str)


@outcomes(table.MMAP_ARGUMENTS + table.MMAP_ADDRESS + table.MMAP_LIMITS)
def test_mmap_gives(row: Row, world: World, files: Files) -> None:
    assert row.outcome("mmap", world, files) == row.number


@outcomes(table.MMAP_FILE)
def test_mmap_of_a_file_gives(row: Row, world: World, files: Files) -> None:
    assert row.outcome("mmap", world, files) == row.number


@outcomes(others.MUNMAP)
def test_munmap_gives(row: Row, world: World, files: Files) -> None:
    assert row.outcome("munmap", world, files) == row.number


@outcomes(others.MPROTECT)
def test_mprotect_gives(row: Row, world: World, files: Files) -> None:
    assert row.outcome("mprotect", world, files) == row.number


@outcomes(others.MSEAL)
def test_mseal_gives(row: Row, world: World, files: Files) -> None:
    assert row.outcome("mseal", world, files) == row.number


@pytest.fixture
def append_only(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """A file that the kernel lets only grow; the engine takes our word for it."""
    path = tmp_path / "append"
    path.write_bytes(bytes(PAGE_SIZE))
    files = {"append": (path, os.O_RDWR | os.O_APPEND), "append ro": (path, os.O_RDONLY)}
    if isinstance(world, EngineWorld):
        monkeypatch.setattr(open_file, "inode_attributes", lambda _: open_file.FS_APPEND_FL)
        yield files
        return
    try:
        set_append_only(path, True)
    except OSError as error:
        pytest.skip(f"no file can be made append-only here: {error}")
    yield files
    set_append_only(path, False)


@outcomes(table.MMAP_APPEND_ONLY)
def test_mmap_of_an_append_only_file_gives(row: Row, world: World, append_only: Files) -> None:
    assert row.outcome("mmap", world, append_only) == row.number


def test_mprotect_gives_enomem_for_more_memory_than_there_is(world: World) -> None:
    skip_without(GUESSING, world)
    addr = world.mmap(length=table.TOO_MUCH, prot=PROT_NONE)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        world.mprotect(addr, table.TOO_MUCH, RW)
    world.mprotect(addr, table.TOO_MUCH - PAGE_SIZE, RW)
    world.munmap(addr, table.TOO_MUCH)


def test_what_a_mapping_replaces_need_not_be_promised_again(world: World) -> None:
    skip_without(GUESSING, world)
    # All that there is, and then over it, with the same call, that and one page more.
    addr = world.mmap(length=table.TOO_MUCH, prot=PROT_NONE)
    world.mmap(addr, table.TOO_MUCH - PAGE_SIZE, flags=table.FIXED)
    world.mmap(addr, table.TOO_MUCH, flags=table.FIXED)
    world.munmap(addr, table.TOO_MUCH)
