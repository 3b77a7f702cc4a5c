"""The engine's side without a kernel: a process like one that maps a page of program, and files."""

from untorn.conform.engine_side import EngineSide
from untorn.conform.files import FDS, FILE_PAGES
from untorn.conform.segments import SEGMENTS
from untorn.conform.substitutes import Substitutes
from untorn.fs.from_maps.address_space import mm_from_maps
from untorn.maps.page import PAGE_SIZE, TASK_SIZE, ULONG_MAX
from untorn.mm.calls.shm import ShmSegment
from untorn.mm.file import MAX_LFS_FILESIZE, VmFile
from untorn.mm.filemap import AddressSpace
from untorn.mm.limits import Limits
from untorn.releases.changes import MSEAL
from untorn.releases.release import Release
from untorn.syscalls import Process

_PROGRAM = b"00400000-00401000 r-xp 00000000 00:01 1                                  /program\n"
_BRK = 0x40_1000
"""Byte address at which the heap begins and ends."""


def engine_alone(release: Release, limits: Limits) -> EngineSide:
    """Return the engine's side, with files as on a disk without DAX."""
    mm = mm_from_maps(
        _PROGRAM, limits=limits, task_size=TASK_SIZE, release=release, heap=(_BRK, _BRK)
    )
    process = Process(mm)
    process.files = {FDS[name]: _file(name) for name in FDS}
    one = process.files[FDS["ONE"]]
    for name in "ONE_AGAIN", "ONE_READ_ONLY", "ONE_WRITE_ONLY":
        process.files[FDS[name]].mapping = one.mapping
    segments = [ShmSegment(size) for size in SEGMENTS.values()]
    sealed = release.has(MSEAL)
    return EngineSide(process, Substitutes().facts, segments, sealed=sealed)


def _file(name: str) -> VmFile:
    return VmFile(
        name.encode(),
        inode=FDS["ONE" if name.startswith("ONE") else name],
        size=FILE_PAGES * PAGE_SIZE,
        readable=name != "ONE_WRITE_ONLY",
        writable=name not in ("ONE_READ_ONLY", "DIRECTORY", "NO_MMAP"),
        refuses_sync=name in ("ONE", "OTHER", "GONE"),
        can_mmap=name not in ("DIRECTORY", "NO_MMAP"),
        mmap_size_max=ULONG_MAX if name in ("DIRECTORY", "ZERO") else MAX_LFS_FILESIZE,
        write_sealed=name == "SEALED",
        is_zero=name == "ZERO",
        mapping=AddressSpace(shmem=name in ("MEMORY", "SEALED")),
    )
