"""PROCMAP_QUERY in the kernel's place: what differs from other maps files."""

import errno

import pytest

from untorn.errors import OutOfReachError, os_error
from untorn.fs.user_memory import FlatMemory
from untorn.maps.entry import GATE_NAME, MapsEntry
from untorn.maps.fields import NO_DEVICE, Permissions
from untorn.maps.maps_file import MapsFile
from untorn.maps.page import KERNEL_HALF, PAGE_SIZE
from untorn.maps.procmap_query import PROCMAP_QUERY, SIZE, ProcmapQuery, QueriedVma
from untorn.serve.procfs.procmap_ioctl import procmap_ioctl


class Restless(MapsFile):
    """One VMA, whose build id never arrives in time."""

    def __init__(self, start: int) -> None:
        end, name = start + PAGE_SIZE, GATE_NAME
        self.entry = MapsEntry(start, end, Permissions.EXECUTE, 0, NO_DEVICE, 0, name)

    def read(self, size: int) -> bytes:
        raise os_error(errno.EIO)

    def seek(self, offset: int, whence: int = 0) -> int:
        raise os_error(errno.EIO)

    def close(self) -> None:
        pass

    def procmap_query(self, question: ProcmapQuery) -> QueriedVma:
        assert question == ProcmapQuery(build_id_size=question.build_id_size)
        if question.build_id_size:
            raise OutOfReachError("it changes all the time")
        return QueriedVma(self.entry, PAGE_SIZE)


def ask(maps: MapsFile, request: int = PROCMAP_QUERY, build_id_size: int = 0) -> ProcmapQuery:
    memory = FlatMemory(2 * SIZE)
    addr = memory.base + SIZE if build_id_size else 0
    query = ProcmapQuery(build_id_size=build_id_size, build_id_addr=addr)
    memory.copy_to_user(memory.base, query.pack())
    procmap_ioctl(maps, request, memory, memory.base)
    return ProcmapQuery.unpack(memory.copy_from_user(memory.base, SIZE))


def test_what_changes_all_the_time_is_told_without_its_build_id() -> None:
    answer = ask(Restless(PAGE_SIZE), build_id_size=20)
    assert (answer.vma_start, answer.vma_end) == (PAGE_SIZE, 2 * PAGE_SIZE)
    assert answer.build_id_size == 0


def test_the_kernels_half_is_not_told() -> None:
    with pytest.raises(FileNotFoundError):
        ask(Restless(KERNEL_HALF))


def test_there_is_no_other_ioctl() -> None:
    with pytest.raises(OSError, match="ioctl") as refused:
        ask(Restless(PAGE_SIZE), PROCMAP_QUERY + 1)
    assert refused.value.errno == errno.ENOTTY
