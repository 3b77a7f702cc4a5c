"""From an address to its file: offset, virtual address, path, identity; or why there is none."""

import ctypes
import io
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import untorn
from tests.helpers.commanded import Commanded
from tests.helpers.entries import record
from tests.helpers.mounted import run_with_mounts
from tests.helpers.nobody import BECOME_NOBODY
from tests.helpers.this_machine import MAY_OPEN_BY_MAPPING, by_mapping
from untorn.errors import OutOfReachError
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Device, Permissions
from untorn.reader.files.elf import Elf, LoadSegment, read_elf

pytestmark = pytest.mark.live
PAGE = 4096


@pytest.fixture
def child() -> Iterator[Commanded]:
    with Commanded() as process:
        yield process


def libc_path() -> Path:
    """The libc of this process."""
    # By its own name: a program that takes the address of malloc has its own entry for it.
    malloc = ctypes.cast(ctypes.CDLL("libc.so.6").malloc, ctypes.c_void_p).value
    assert malloc
    vma = untorn.snapshot(os.getpid()).find(malloc)
    assert vma
    return Path(os.fsdecode(vma.name))


def copy_of_libc(folder: Path) -> Path:
    copy = folder / "library.so"
    shutil.copy(libc_path(), copy)
    return copy


def load(child: Commanded, library: Path) -> tuple[int, int]:
    """Let it load a library; return the address of a function in it, and its symbol's value."""
    child.do(f"library = ctypes.CDLL({str(library)!r})")
    addr = int(child.do("print(ctypes.cast(library.qsort, ctypes.c_void_p).value)"))
    with library.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".dynsym")
        assert isinstance(symbols, SymbolTableSection)
        symbol, *_ = symbols.get_symbol_by_name("qsort") or []
    return addr, symbol["st_value"]


def test_the_address_of_a_function_is_that_of_its_symbol(child: Commanded, tmp_path: Path) -> None:
    addr, value = load(child, copy_of_libc(tmp_path))
    location = untorn.locate(child.pid, addr)
    assert location.elf_address == value
    assert location.offset == addr - location.vma.entry.start + location.vma.entry.offset
    assert location.kind == "a regular file"
    assert location.path
    assert Path(os.fsdecode(location.path)).samefile(tmp_path / "library.so")
    assert location.absent == {}


def test_it_is_the_same_where_the_vma_was_split(child: Commanded, tmp_path: Path) -> None:
    addr, value = load(child, copy_of_libc(tmp_path))
    page = addr & -PAGE
    child.do(f"libc.mprotect({page}, {PAGE}, 7)")
    location = untorn.locate(child.pid, addr)
    assert (location.vma.entry.start, location.elf_address) == (page, value)
    assert untorn.locate(child.pid, page - 1).elf_address == (value & -PAGE) - 1


def test_every_mapped_byte_of_a_library_has_the_address_that_it_was_loaded_for(
    child: Commanded, tmp_path: Path
) -> None:
    library = copy_of_libc(tmp_path)
    addr, value = load(child, library)
    taken = untorn.snapshot(child.pid)
    for vma in taken:
        if vma.name == os.fsencode(library):
            for each in vma.start, vma.end - 1:
                assert untorn.locate(child.pid, each).elf_address == each - addr + value


def test_a_file_with_a_lease_is_left_alone(child: Commanded, tmp_path: Path) -> None:
    library = copy_of_libc(tmp_path)
    child.do("import fcntl, signal; broken = []")
    child.do("signal.signal(signal.SIGIO, lambda *_: broken.append(1))")
    at = child.hole(1)
    child.do(f"fd = os.open({str(library)!r}, os.O_RDWR); put(at, 1, 1, 2, fd)")
    if child.do("print(fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK))") != "0":
        pytest.skip("no lease can be had here")
    location = untorn.locate(child.pid, at, build_id=True)
    assert child.do("print(len(broken))") == "0"
    assert location.kind == "a regular file"
    for field in "elf_address", "build_id":
        assert location.absent[field].startswith("somebody has a lease on it")


@by_mapping
@pytest.mark.parametrize("replaced", [False, True])
def test_a_deleted_file_is_still_found(child: Commanded, tmp_path: Path, replaced: bool) -> None:
    library = copy_of_libc(tmp_path)
    addr, value = load(child, library)
    inode = library.stat().st_ino
    library.unlink()
    if replaced:
        library.write_bytes(b"another one")
    location = untorn.locate(child.pid, addr)
    assert location.vma.entry.name.endswith(b" (deleted)")
    assert location.elf_address == value
    assert location.path
    assert Path(os.fsdecode(location.path)).stat().st_ino == inode
    with untorn.open_maps(child.pid) as maps:
        if replaced:
            assert not maps.is_file(addr, library)
        with pytest.raises(FileNotFoundError):
            maps.is_file(addr, tmp_path / "missing")


def test_a_file_is_the_same_by_whatever_name(child: Commanded, tmp_path: Path) -> None:
    library = copy_of_libc(tmp_path)
    addr, _ = load(child, library)
    hard, soft, other = tmp_path / "hard", tmp_path / "soft", tmp_path / "other"
    hard.hardlink_to(library)
    soft.symlink_to(library)
    shutil.copy(library, other)
    for ioctl in True, False:
        with untorn.open_maps(child.pid, ioctl=ioctl) as maps:
            assert [
                maps.is_file(addr, path) for path in (library, hard, soft, other, "/dev/zero")
            ] == [
                *(True, True, True),
                *(False, False),
            ]


def test_of_a_device_too_it_can_be_told_which_one_it_is(child: Commanded) -> None:
    at = child.hole(1)
    child.do("put(at, 1, 1, 2, os.open('/dev/zero', 0))")
    with untorn.open_maps(child.pid) as maps:
        assert maps.is_file(at, "/dev/zero")
        assert not maps.is_file(at, "/dev/null")
        assert not maps.is_file(at, sys.executable)
    location = untorn.locate(child.pid, at)
    if MAY_OPEN_BY_MAPPING:
        assert location.kind == "a character device"
    assert location.elf_address is None


@by_mapping
def test_without_rights_a_file_is_found_by_its_name() -> None:
    with TemporaryDirectory() as name:  # pytest's own is closed to others
        folder = Path(name)
        folder.chmod(0o755)
        library = copy_of_libc(folder)
        program = f"""
import ctypes, os, untorn
import untorn.reader.files.same_file  # where it is may be closed to others
library = ctypes.CDLL({str(library)!r})
addr = ctypes.cast(library.qsort, ctypes.c_void_p).value
found = untorn.locate(os.getpid(), addr)
vma = found.vma.entry
assert found.path == b"/proc/%d/map_files/%x-%x" % (os.getpid(), vma.start, vma.end)
{BECOME_NOBODY}
ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: as if started by that user
again = untorn.locate(os.getpid(), addr)
assert again.path == os.fsencode({str(library)!r}), again
assert (again.elf_address, again.build_id) == (found.elf_address, found.build_id)
with untorn.open_maps(os.getpid()) as maps:
    assert maps.is_file(addr, {str(library)!r})
    assert not maps.is_file(addr, "/bin/sh")
"""
        subprocess.run([sys.executable, "-c", program], check=True)


MAPPED = f"""
import mmap, untorn
from untorn.errors import OutOfReachError

def map_file(path):
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    return mapped, next(e for e in untorn.snapshot(os.getpid()) if e.name.endswith(path.encode()))

def is_file(entry, path):
    try:
        return untorn.open_maps(os.getpid()).is_file(entry.start, path)
    except OutOfReachError as error:
        return str(error)

def become_somebody():
    {BECOME_NOBODY}
    ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: as if started by that user
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to mount")
@pytest.mark.skipif(shutil.which("mkfs.btrfs") is None, reason="no mkfs.btrfs here")
def test_on_btrfs_a_file_is_not_taken_for_one_of_another_subvolume(tmp_path: Path) -> None:
    run_with_mounts(
        MAPPED
        + """
with open("image", "wb") as image:
    image.truncate(128 << 20)
subprocess.run(["mkfs.btrfs", "-q", "image"], check=True)
os.mkdir("m")
mount("-o", "loop", "image", "m")
for volume in "ab":
    subprocess.run(["btrfs", "-q", "subvolume", "create", "m/" + volume], check=True)
    with open(f"m/{volume}/file", "wb") as file:
        file.write(bytes(4096))
one, other = os.stat("m/a/file"), os.stat("m/b/file")
assert one.st_ino == other.st_ino and one.st_dev != other.st_dev
mapped, entry = map_file("m/a/file")
assert os.makedev(*entry.device) not in (one.st_dev, other.st_dev)
os.link("m/a/file", "m/a/link")
answers = [is_file(entry, "m/" + name) for name in ("a/file", "a/link", "b/file")]
assert answers == [True, True, False]
os.chmod(".", 0o755)
become_somebody()
assert is_file(entry, "m/a/file") is True
assert "two subvolumes" in is_file(entry, "m/b/file")
""",
        tmp_path,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to mount")
def test_on_overlayfs_a_file_is_the_same_in_every_layer(tmp_path: Path) -> None:
    run_with_mounts(
        MAPPED
        + """
for folder in "lower", "middle", "upper", "work", "m":
    os.mkdir(folder)
mount("-t", "tmpfs", "none", "middle")  # layers on several file systems
os.mkdir("m2")
for layer in "lower", "middle":
    with open(f"{layer}/{layer}", "wb") as file:
        file.write(bytes(4096))
mount("-t", "overlay", "none", "-o", "lowerdir=lower:middle,upperdir=upper,workdir=work", "m")
with open("m/upper", "wb") as file:
    file.write(bytes(4096))
for layer in "lower", "middle", "upper":
    mapped, entry = map_file("m/" + layer)
    answers = [is_file(entry, "m/" + name) for name in ("lower", "middle", "upper")]
    assert answers == [name == layer for name in ("lower", "middle", "upper")], (entry, answers)
    location = untorn.locate(os.getpid(), entry.start)
    assert os.path.samefile(location.path, "m/" + layer)
""",
        tmp_path,
    )


SEGMENTS = st.builds(
    LoadSegment,
    offset=st.integers(0, 1 << 16),
    file_size=st.integers(0, 1 << 16),
    address=st.integers(0, 1 << 20),
    flags=st.integers(0, 7),
)


@given(st.lists(SEGMENTS, max_size=4), st.integers(0, 1 << 18))
def test_an_address_is_told_only_if_one_segment_holds_it(
    segments: list[LoadSegment], offset: int
) -> None:
    page = offset & -PAGE
    vma = record(page, page + PAGE, b"r--p", page, (8, 1), 5, b"/x")
    found = {each.address_of(offset) for each in segments if each.holds(offset)}
    elf = Elf(tuple(segments), b"")
    if len(found) == 1:
        assert {elf.address_of(vma, offset, list)} == found
    else:
        with pytest.raises(OutOfReachError, match="several segments" if found else "no segment"):
            elf.address_of(vma, offset, list)


def test_what_no_segment_has_is_told_where_the_file_was_loaded_and_nowhere_else() -> None:
    code = LoadSegment(offset=0, file_size=0x1800, address=0x400000, flags=5)
    loaded = record(0x400000, 0x402000, b"r-xp", 0, (8, 1), 5, b"/x")
    copied = loaded._replace(start=0x700000, end=0x702000, permissions=Permissions.READ)
    elf = Elf((code,), b"")
    assert elf.address_of(loaded, 0x401900, lambda: [loaded, copied]) == 0x401900
    with pytest.raises(OutOfReachError, match="no segment"):
        elf.address_of(copied, 0x701900, lambda: [loaded, copied])
    assert elf.address_of(copied, 0x701700, lambda: [loaded, copied]) == 0x401700


def test_a_page_of_two_segments_is_that_of_the_one_it_was_mapped_for() -> None:
    code = LoadSegment(offset=0, file_size=0x1800, address=0x400000, flags=5)
    data = LoadSegment(offset=0x1800, file_size=0x800, address=0x402800, flags=6)
    elf = Elf((code, data), b"")
    first = record(0x400000, 0x402000, b"r-xp", 0, (8, 1), 5, b"/x")
    second = MapsEntry(
        0x402000, 0x403000, Permissions.parse(b"rw-p"), 0x1000, Device(8, 1), 5, b"/x"
    )
    for vma, addr in (first, 0x401900), (first, 0x401700), (second, 0x402900), (second, 0x402700):
        assert elf.address_of(vma, addr, lambda: [first, second]) == addr


def test_no_more_of_notes_is_read_than_a_linker_makes() -> None:
    class Counted(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.taken += len(data)
            return data

    count, notes = 1000, 1 << 16
    header = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, count, 64, 0, 0)
    )
    segment = struct.pack("<IIQQQQQQ", 4, 4, 64 + 56 * count, 0, 0, notes, notes, 4)
    file = Counted(header + segment * count + bytes(notes))
    assert read_elf(file, build_id=True).build_id == b""
    assert file.taken < 1 << 20


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(data=st.data())
def test_a_damaged_elf_file_is_refused_and_nothing_worse(
    data: st.DataObject, tmp_path: Path
) -> None:
    whole = Path(sys.executable).resolve().read_bytes()[:4096]
    damaged = bytearray(whole[: data.draw(st.integers(0, 4096))])
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(4, 600))
        if at < len(damaged):
            damaged[at] = data.draw(st.integers(0, 255))
    file = tmp_path / "damaged"
    file.write_bytes(damaged)
    with file.open("rb") as opened:
        try:
            elf = read_elf(opened, build_id=True)
        except OutOfReachError:
            return
    assert len(elf.build_id) <= 20
