"""Each kind of line that a file mapping can have, to the byte, in engine and kernel."""

import os
from pathlib import Path

import pytest

from tests.oracle.kernel_process import KernelProcess
from tests.oracle.real_files import vm_file
from tests.oracle.worlds import RW, EngineWorld, KernelWorld, engine_limits, masked
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
)

pytestmark = pytest.mark.live

P = PAGE_SIZE
NAMES = {
    "plain": b"file",
    "spaces": b"a file  with spaces ",
    "tab and backslash": b"tab\tback\\slash",
    "newline": b"new\nline\n",
    "not UTF-8": b"\xff\xfe",
    "of all the world": "zażółć 日本語 \u202e😀".encode(),
    "control characters": b"\x1b[1m\r\x7f\x01",
    "as if escaped": b"new\\012line",
    "brackets": b"[heap]",
    "as if deleted": b"file (deleted)",
    "longer than the line": b"x" * 200,
}


class Mapped:
    """A page of a file that the child opened, mapped by both, and its names as they change."""

    def __init__(self, child: KernelProcess, path: Path) -> None:
        self.fd = child.call("open", str(path), os.O_RDONLY)
        self.kernel = KernelWorld(child)
        self.engine = EngineWorld(engine_limits(), self.kernel.base)
        self._link = Path(f"/proc/{child.pid}/fd/{self.fd}")
        self._file = vm_file(self._link, os.O_RDONLY)
        engine_fd = self.engine.adopt(self._file)
        for world, fd in (self.engine, engine_fd), (self.kernel, self.fd):
            world.mmap(world.base, P, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd)

    def line(self) -> bytes:
        """Return the line of both, with the name that the kernel has for the open file now."""
        self._file.path = os.fsencode(self._link.readlink())
        (engine,), (kernel,) = self.engine.maps(), self.kernel.maps()
        assert engine == kernel
        return kernel


def mapped_by_both(
    child: KernelProcess, fd: int, prot: int, flags: int, offset: int
) -> tuple[list[bytes], list[bytes]]:
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
def test_any_protection_and_offset(
    child: KernelProcess, tmp_path: Path, prot: int, flags: int, offset: int
) -> None:
    path = tmp_path / "file"
    path.touch()
    fd = child.call("open", str(path), os.O_RDWR)
    engine, kernel = mapped_by_both(child, fd, prot, flags, offset)
    assert engine == kernel
    assert len(kernel) == 1


def test_a_shared_mapping_of_a_file_not_writable_is_shown_as_shared(
    child: KernelProcess, tmp_path: Path
) -> None:
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


def test_a_name_that_changes_while_the_file_is_mapped(child: KernelProcess, tmp_path: Path) -> None:
    path = tmp_path / "first"
    path.touch()
    mapped = Mapped(child, path)
    assert mapped.line().endswith(b"/first\n")
    path.rename(tmp_path / "sec\nond")
    assert mapped.line().endswith(b"/sec\\012ond\n")
    (tmp_path / "third").touch()
    (tmp_path / "third").rename(tmp_path / "sec\nond")
    assert mapped.line().endswith(b"/sec\\012ond (deleted)\n"), "another file has its name now"


def test_a_directory_that_is_renamed(child: KernelProcess, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").touch()
    mapped = Mapped(child, tmp_path / "old" / "file")
    (tmp_path / "old").rename(tmp_path / "new")
    assert mapped.line().endswith(b"/new/file\n")


def test_each_open_has_the_name_of_the_link_that_it_went_by(
    child: KernelProcess, tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.touch()
    other.hardlink_to(one)
    mapped = [Mapped(child, path) for path in (one, other)]
    lines = [each.line() for each in mapped]
    assert [line.rsplit(b"/")[-1] for line in lines] == [b"one\n", b"other\n"]
    assert lines[0].split()[4] == lines[1].split()[4], "one inode"
    one.unlink()
    lines = [each.line() for each in mapped]
    assert [line.rsplit(b"/")[-1] for line in lines] == [b"one (deleted)\n", b"other\n"]


def test_a_symbolic_link_is_followed(child: KernelProcess, tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to("target")
    assert Mapped(child, tmp_path / "link").line().endswith(b"/target\n")


def test_a_path_longer_than_a_page_of_output_has_room_for(
    child: KernelProcess, tmp_path: Path
) -> None:
    directory = tmp_path
    for _ in range(15):
        directory /= "d" * 240
    directory.mkdir(parents=True)
    path = directory / "file"
    path.touch()
    assert len(Mapped(child, path).line()) > 3600


@pytest.mark.parametrize("flags", [0, MAP_NORESERVE], ids=["reserved", "no reserve"])
def test_shared_memory_without_a_name(child: KernelProcess, flags: int) -> None:
    kernel = KernelWorld(child)
    engine = EngineWorld(engine_limits(), kernel.base)
    for world in engine, kernel:
        world.put(0, 1, RW, MAP_SHARED | MAP_ANONYMOUS | flags)
        world.put(1, 2, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | flags)
        world.mprotect(world.page(2), P, PROT_EXEC)
    assert masked(engine.maps()) == masked(kernel.maps())
    assert [line[-20:] for line in kernel.maps()] == [b"/dev/zero (deleted)\n"] * 3
