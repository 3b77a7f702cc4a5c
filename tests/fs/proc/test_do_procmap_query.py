"""PROCMAP_QUERY: the same queries to the engine under each strategy and to the running kernel."""

import ctypes
import errno
import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.engine import Pages, addr
from tests.helpers.tasks import Worker, wait_until
from tests.helpers.this_machine import asks
from untorn.fs.proc.maps_locking import MAPS_LOCKINGS
from untorn.fs.proc.vma_file import ProcVmaFile
from untorn.fs.user_memory import FlatMemory
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Permissions
from untorn.maps.maps_file import MapsFile
from untorn.maps.procmap_query import (
    PROCMAP_QUERY,
    SIZE,
    ProcmapQuery,
    QueriedVma,
    QueryFlags,
)
from untorn.mm.file import VmFile
from untorn.mm.mman import MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_READ
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.reader.access.live_maps_file import LiveMapsFile

P = mmap.PAGESIZE
NEXT = QueryFlags.COVERING_OR_NEXT_VMA
FILE = QueryFlags.FILE_BACKED_VMA
R, W, X, S = (
    Permissions.READ,
    Permissions.WRITE,
    Permissions.EXECUTE,
    Permissions.SHARED,
)
Ioctl = Callable[[bytes], bytes]


class World:
    """Six pages at base, `rr.wfs`: r-- anonymous (2), hole, rw- anonymous, file r-x, file r--s.

    ioctl() takes the bytes of the struct and gives them back as the kernel leaves them; memory
    that both may use for names is at name_addr, and bad_addr is not mapped.
    """

    base: int
    path: bytes
    name_addr: int
    bad_addr: int = 8
    file: MapsFile
    ioctl: Ioctl

    def ask(self, page: int, flags: int = 0, **fields: int) -> ProcmapQuery:
        query = ProcmapQuery(query_flags=flags, query_addr=self.base + page * P, **fields)
        return ProcmapQuery.unpack(self.ioctl(query.pack()))

    def name(self) -> bytes:
        raise NotImplementedError


class EngineWorld(World):
    file: ProcVmaFile

    def __init__(self, reader: str, path: bytes) -> None:
        process = Pages()
        self.base, self.path = 0x10000, path
        process.files[3] = VmFile(path, writable=False)
        process.map(0, 2, PROT_READ)
        process.map(3, 4)
        process.map(4, 5, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd=3)
        process.map(5, 6, PROT_READ, MAP_SHARED | MAP_FIXED, fd=3, offset=P)
        self.memory = FlatMemory(3 * P)
        self.name_addr = self.memory.base + 2 * P
        self.file = process.open("maps", reader)

    def ioctl(self, data: bytes) -> bytes:
        self.memory.copy_to_user(self.memory.base, data)
        self.file.ioctl(PROCMAP_QUERY, self.memory, self.memory.base)
        return self.memory.copy_from_user(self.memory.base, len(data))

    def name(self) -> bytes:
        return self.memory.copy_from_user(self.name_addr, 100).split(b"\0")[0]


class LiveWorld(World):
    """The same six pages in the test's own process."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = (
            *(ctypes.c_void_p, ctypes.c_size_t),
            *(ctypes.c_int, ctypes.c_int, ctypes.c_int),
            ctypes.c_long,
        )
        self._munmap = libc.munmap
        self._munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        fixed, private, anonymous = 0x10, mmap.MAP_PRIVATE, mmap.MAP_ANONYMOUS
        fd = os.open(path, os.O_RDONLY)
        self.base = libc.mmap(None, 8 * P, 0, private | anonymous, -1, 0)
        self._munmap(self.base + 6 * P, 2 * P)
        for page, pages, prot, flags, fd_, offset in (
            (0, 2, 1, private | anonymous, -1, 0),
            (3, 1, 3, private | anonymous, -1, 0),
            (4, 1, 5, private, fd, 0),
            (5, 1, 1, mmap.MAP_SHARED, fd, P),
        ):
            libc.mmap(self.base + page * P, pages * P, prot, flags | fixed, fd_, offset)
        self._munmap(self.base + 2 * P, P)
        os.close(fd)
        self._buffer = ctypes.create_string_buffer(3 * P)
        self.name_addr = ctypes.addressof(self._buffer)
        self.file = LiveMapsFile(os.getpid())
        self._fd = os.open("/proc/self/maps", os.O_RDONLY)

    def ioctl(self, data: bytes) -> bytes:
        struct = bytearray(data)
        fcntl.ioctl(self._fd, PROCMAP_QUERY, struct)
        return bytes(struct)

    def name(self) -> bytes:
        return self._buffer.value

    def close(self) -> None:
        self.file.close()
        os.close(self._fd)
        self._munmap(self.base, 6 * P)


@pytest.fixture(
    params=[*sorted(MAPS_LOCKINGS), pytest.param("kernel", marks=[pytest.mark.live, asks])]
)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "two pages"
    path.write_bytes(b"x" * 2 * P)
    if request.param != "kernel":
        yield EngineWorld(request.param, bytes(path))
        return
    live = LiveWorld(bytes(path))
    yield live
    live.close()


def refused(world: World, number: int, data: bytes) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        world.ioctl(data)
    assert caught.value.errno == number


@pytest.mark.parametrize(
    ("page", "flags", "found"),
    [
        (0, 0, (0, 2)),
        (1, 0, (0, 2)),
        (2, 0, None),
        (2, NEXT, (3, 4)),
        (0, W, None),
        (0, W | NEXT, (3, 4)),
        (0, R | NEXT, (0, 2)),
        (0, X | NEXT, (4, 5)),
        (0, S | NEXT, (5, 6)),
        (3, FILE, None),
        (0, FILE | NEXT, (4, 5)),
        (4, FILE | R | X, (4, 5)),
        (4, FILE | W, None),
        (0, FILE | S | R | NEXT, (5, 6)),
    ],
)
def test_which_vma_is_found(
    world: World, page: int, flags: int, found: tuple[int, int] | None
) -> None:
    if found is None:
        query = ProcmapQuery(query_flags=flags, query_addr=world.base + page * P)
        refused(world, errno.ENOENT, query.pack())
    else:
        answer = world.ask(page, flags)
        pages = ((answer.vma_start - world.base) // P, (answer.vma_end - world.base) // P)
        assert pages == found


def test_an_address_inside_a_page_finds_it_too(world: World) -> None:
    query = ProcmapQuery(query_addr=world.base + P + 123)
    assert ProcmapQuery.unpack(world.ioctl(query.pack())).vma_start == world.base


def test_no_vma_above_the_last(world: World) -> None:
    query = ProcmapQuery(query_flags=NEXT, query_addr=2**64 - P)
    refused(world, errno.ENOENT, query.pack())


def test_the_vsyscall_page_is_never_returned(world: World) -> None:
    query = ProcmapQuery(query_flags=NEXT, query_addr=0xFFFF_FFFF_FF60_0000)
    refused(world, errno.ENOENT, query.pack())


def test_all_fields_of_a_file_mapping(world: World) -> None:
    answer = world.ask(5)
    assert answer.vma_flags == R | S
    assert (answer.vma_page_size, answer.vma_offset) == (P, P)
    assert answer.inode != 0
    anonymous = world.ask(3)
    assert anonymous.vma_flags == R | W
    assert anonymous[7:13] == (0, 0, 0, 0, 0, 0), "offset, inode, device and sizes"


def test_the_name_comes_with_its_nul_and_its_size(world: World) -> None:
    answer = world.ask(4, vma_name_size=P, vma_name_addr=world.name_addr)
    assert answer.vma_name_size == len(world.path) + 1
    assert world.name() == world.path


def test_a_vma_without_a_name_gives_size_zero(world: World) -> None:
    answer = world.ask(3, vma_name_size=P, vma_name_addr=world.name_addr)
    assert answer.vma_name_size == 0


def test_a_buffer_of_just_the_right_size_is_enough_and_one_less_is_not(world: World) -> None:
    size = len(world.path) + 1
    assert world.ask(4, vma_name_size=size, vma_name_addr=world.name_addr).vma_name_size == size
    query = ProcmapQuery(
        query_addr=world.base + 4 * P, vma_name_size=size - 1, vma_name_addr=world.name_addr
    )
    refused(world, errno.ENAMETOOLONG, query.pack())


def test_a_file_without_a_build_id_gives_size_zero(world: World) -> None:
    answer = world.ask(4, build_id_size=20, build_id_addr=world.name_addr)
    assert answer.build_id_size == 0


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ({"size": P + 1}, errno.E2BIG),
        ({"size": 23}, errno.EINVAL),
        ({"size": 0}, errno.EINVAL),
        ({"query_flags": 0x40}, errno.EINVAL),
        ({"vma_name_size": 10}, errno.EINVAL),
        ({"vma_name_addr": 0x1000}, errno.EINVAL),
        ({"build_id_size": 20}, errno.EINVAL),
        ({"build_id_addr": 0x1000}, errno.EINVAL),
        ({"vma_name_size": P, "vma_name_addr": World.bad_addr}, errno.EFAULT),
    ],
    ids=str,
)
def test_bad_requests(world: World, fields: dict[str, int], number: int) -> None:
    query = ProcmapQuery(query_addr=world.base + 4 * P)._replace(**fields)
    refused(world, number, query.pack())


def test_a_short_struct_is_answered_as_far_as_it_goes(world: World) -> None:
    query = ProcmapQuery(size=40, query_addr=world.base)
    data = world.ioctl(query.pack()[:40])
    assert data[24:40] == world.ask(0).pack()[24:40]
    assert len(data) == 40


@pytest.mark.parametrize(("tail", "number"), [(b"\0" * 8, None), (b"\1" + b"\0" * 7, errno.E2BIG)])
def test_a_longer_struct_must_end_in_zeros(world: World, tail: bytes, number: int | None) -> None:
    data = ProcmapQuery(size=SIZE + 8, query_addr=world.base).pack() + tail
    if number is None:
        assert ProcmapQuery.unpack(world.ioctl(data)[:SIZE]).vma_start == world.base
    else:
        refused(world, number, data)


def test_the_method_gives_all_at_once(world: World) -> None:
    start = world.base + 4 * P
    vma = world.file.query(start, file_backed=True, permissions=X)
    found = vma.entry
    entry = MapsEntry(start, start + P, R | X, 0, found.device, found.inode, world.path)
    assert vma == QueriedVma(entry, P)
    assert world.file.query(world.base, name=False).entry.name == b""


def test_walking_by_queries_shows_the_vmas_in_order(world: World) -> None:
    at, found = world.base, []
    while at < world.base + 6 * P:
        vma = world.file.query(at, next=True).entry
        found.append(((vma.start - world.base) // P, (vma.end - world.base) // P))
        at = vma.end
    assert found == [(0, 2), (3, 4), (4, 5), (5, 6)]


def test_only_this_ioctl_is_known(world: World) -> None:
    if isinstance(world, EngineWorld):
        with pytest.raises(OSError, match=r".") as caught:
            world.file.ioctl(0x1234, world.memory, world.memory.base)
    else:
        assert isinstance(world, LiveWorld)
        with pytest.raises(OSError, match=r".") as caught:
            fcntl.ioctl(world._fd, 0x1234, bytearray(SIZE))
    assert caught.value.errno == errno.ENOTTY


@pytest.mark.parametrize("reader", sorted(MAPS_LOCKINGS))
def test_build_ids_of_the_engines_files(reader: str) -> None:
    process = Pages()
    process.files[3] = VmFile(b"/bin/true", build_id=bytes(range(20)))
    process.map(0, 1, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd=3)
    file = process.open("maps", reader)
    assert file.query(0x10000, build_id=True).build_id == bytes(range(20))
    with pytest.raises(OSError, match="too long") as caught:
        file.procmap_query(ProcmapQuery(query_addr=0x10000, build_id_size=19))
    assert caught.value.errno == errno.ENAMETOOLONG


def test_addresses_count_modulo_2_to_the_64(world: World) -> None:
    with pytest.raises(FileNotFoundError):
        world.file.query(-1)
    assert world.file.query(world.base - 2**64).entry.start == world.base


def test_there_is_no_query_before_linux_6_11() -> None:
    with Pages(release=(6, 10)).open() as file, pytest.raises(OSError, match="ioctl") as raised:
        file.query(0)
    assert raised.value.errno == errno.ENOTTY


@pytest.mark.parametrize(
    ("release", "waits"), [((6, 16), True), ((6, 17), True), ((6, 18), False), ((7, 3), False)]
)
def test_which_lock_a_query_takes(release: tuple[int, int], waits: bool) -> None:
    process = Pages(release=release)
    process.map(0, 1)
    with process.open() as file:
        mmap_write_lock(process.mm)
        worker = Worker(lambda: file.query(addr(0)))
        wait_until(lambda: worker.done or process.mm.mmap_lock.is_contended())
        assert process.mm.mmap_lock.is_contended() == waits
        mmap_write_unlock(process.mm)
        assert worker.join().entry.start == addr(0)
