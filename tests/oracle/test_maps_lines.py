"""Each kind of line that a file mapping can have, to the byte, in engine and kernel."""

import os
from pathlib import Path

import pytest
from kernel_process import KernelProcess
from real_files import vm_file
from worlds import RW, EngineWorld, KernelWorld, engine_limits

from untorn.mm.mman import MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_NONE, PROT_READ
from untorn.mm.page import PAGE_SIZE

pytestmark = pytest.mark.live

P = PAGE_SIZE
NAMES = {
    "plain": b"file",
    "spaces": b"a file  with spaces ",
    "tab and backslash": b"tab\tback\\slash",
    "newline": b"new\nline\n",
    "not UTF-8": b"\xff\xfe",
    "as if deleted": b"file (deleted)",
    "longer than the line": b"x" * 200,
}


def mapped_by_both(child: KernelProcess, fd: int, prot: int, flags: int, offset: int):
    """Map a page of the child's open file in both; return the engine's lines and the kernel's."""
    kernel = KernelWorld(child)
    engine = EngineWorld(engine_limits(), kernel.base)
    access = os.O_RDWR if flags == MAP_SHARED and prot & RW == RW else os.O_RDONLY
    engine_fd = engine.adopt(vm_file(Path(f"/proc/{child.pid}/fd/{fd}"), access))
    for world, its_fd in (engine, engine_fd), (kernel, fd):
        world.mmap(world.base, P, prot, flags | MAP_FIXED, its_fd, offset)
    return engine.maps(), kernel.maps()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "deleted"])
def test_any_name_of_a_file(child: KernelProcess, tmp_path: Path, name: bytes, kept: bool) -> None:
    path = tmp_path / os.fsdecode(name)
    path.touch()
    fd = child.call("open", str(path), os.O_RDONLY)
    if not kept:
        path.unlink()
    engine, kernel = mapped_by_both(child, fd, PROT_READ, MAP_PRIVATE, 0)
    assert engine == kernel
    assert kernel[0].endswith(b"(deleted)\n") or kept


@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ, PROT_READ | PROT_EXEC, RW | PROT_EXEC])
@pytest.mark.parametrize("flags", [MAP_PRIVATE, MAP_SHARED], ids=["private", "shared"])
@pytest.mark.parametrize("offset", [0, P, 1 << 32, (1 << 60) + P], ids=hex)
def test_any_protection_and_offset(child, tmp_path: Path, prot, flags, offset) -> None:
    path = tmp_path / "file"
    path.touch()
    fd = child.call("open", str(path), os.O_RDWR)
    engine, kernel = mapped_by_both(child, fd, prot, flags, offset)
    assert engine == kernel
    assert len(kernel) == 1


def test_a_shared_mapping_of_a_file_not_writable_is_shown_as_shared(child, tmp_path) -> None:
    path = tmp_path / "file"
    path.touch()
    fd = child.call("open", str(path), os.O_RDONLY)
    engine, kernel = mapped_by_both(child, fd, PROT_READ, MAP_SHARED, 0)
    assert engine == kernel
    assert b" r--s " in kernel[0]


@pytest.mark.parametrize("name", ["name", "", "with space"])
def test_a_file_in_memory(child: KernelProcess, name: str) -> None:
    engine, kernel = mapped_by_both(child, child.call("memfd", name), RW, MAP_SHARED, P)
    assert engine == kernel
    assert kernel[0].endswith(f" /memfd:{name} (deleted)\n".encode())
