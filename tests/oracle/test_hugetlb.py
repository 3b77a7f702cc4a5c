"""Memory of hugetlbfs, from the text of maps: cut, moved, advised and shown as the kernel does.

The kernel maps it without reserving a page, so that none is needed; the pool has to be empty, as
that of the engine is.
"""

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.helpers.maps_texts import GATE_LINE
from tests.helpers.smaps_records import records
from tests.oracle.kernel_process import KernelProcess
from tests.oracle.worlds import ANONYMOUS, EngineWorld, KernelWorld, World, answer, engine_limits
from untorn.maps.page import PAGE_SIZE, PMD_SIZE, PUD_SIZE
from untorn.mm.mman import (
    MADV_COLLAPSE,
    MADV_DODUMP,
    MADV_DONTDUMP,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_GUARD_INSTALL,
    MADV_HUGEPAGE,
    MADV_MERGEABLE,
    MADV_PAGEOUT,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_REMOVE,
    MADV_SEQUENTIAL,
    MADV_WILLNEED,
    MADV_WIPEONFORK,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_HUGE_1GB,
    MAP_HUGE_2MB,
    MAP_HUGETLB,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.syscalls import Process

pytestmark = pytest.mark.live

P = PAGE_SIZE
RW = PROT_READ | PROT_WRITE
PAGES = 6
BASE, END = 0x3000_0000_0000, 0x3000_0000_0000 + 2 * PAGES * PUD_SIZE
MFD_HUGETLB = 4
SHM_HUGETLB, SHM_NORESERVE, SHM_REMAP, IPC_CREAT, IPC_RMID = 0o4000, 0o10000, 0o40000, 0o1000, 0
ADVICE = [
    *(MADV_DONTNEED, MADV_DONTNEED_LOCKED, MADV_FREE, MADV_REMOVE, MADV_PAGEOUT),
    *(MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK, MADV_MERGEABLE, MADV_HUGEPAGE, MADV_SEQUENTIAL),
    *(MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_GUARD_INSTALL, MADV_WILLNEED),
]


@dataclass(frozen=True)
class Kind:
    """How a hugetlb mapping comes about; size is that of its pages in bytes."""

    size: int
    flags: int = MAP_PRIVATE
    memfd: bool = False
    sysv: bool = False

    @property
    def huge(self) -> int:
        return MAP_HUGE_2MB if self.size == PMD_SIZE else MAP_HUGE_1GB

    def map(self, child: KernelProcess) -> None:
        """Map PAGES of them at BASE."""
        length = PAGES * self.size
        flags = self.flags | MAP_FIXED | MAP_NORESERVE
        if self.sysv:
            how = IPC_CREAT | 0o600 | SHM_HUGETLB | SHM_NORESERVE | self.huge
            shmid = child.call("shmget", 0, length, how)
            try:
                child.call("shmat", shmid, BASE, 0)
            finally:
                child.call("shmctl", shmid, IPC_RMID, 0)
        elif self.memfd:
            fd = child.call("memfd", "huge", MFD_HUGETLB | self.huge)
            child.call("truncate", fd, length)
            child.call("mmap", BASE, length, RW, flags, fd, 0)
        else:
            flags |= MAP_ANONYMOUS | MAP_HUGETLB | self.huge
            child.call("mmap", BASE, length, RW, flags, -1, 0)


KINDS = {
    "private": Kind(PMD_SIZE),
    "shared": Kind(PMD_SIZE, MAP_SHARED),
    "gigantic": Kind(PUD_SIZE),
    "memfd": Kind(PMD_SIZE, MAP_SHARED, memfd=True),
    "private memfd": Kind(PMD_SIZE, memfd=True),
    "System V": Kind(PMD_SIZE, sysv=True),
}


def why_not() -> str | None:
    text = Path("/proc/meminfo").read_text()
    if "Hugepagesize" not in text:
        return "this kernel has no hugetlbfs"
    pools = Path("/sys/kernel/mm/hugepages")
    for path in pools.glob("*/*_hugepages"):
        if path.name in ("nr_hugepages", "nr_overcommit_hugepages") and int(path.read_text()):
            return f"the pool of huge pages is not empty: {path}"
    if not all((pools / f"hugepages-{size}kB").exists() for size in (2048, 1 << 20)):
        return "there are no huge pages of 2 MB and 1 GB"
    return None


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    if reason := why_not():
        pytest.skip(reason)
    kind: Kind = request.param
    return kind


@pytest.fixture
def clean(child: KernelProcess) -> Iterator[None]:
    yield
    child.munmap(BASE, END - BASE)


def pair_of(kind: Kind, child: KernelProcess) -> tuple[EngineWorld, KernelWorld]:
    """Map in the child; return both worlds, the engine's from the text of what was mapped."""
    child.munmap(BASE, END - BASE)
    try:
        kind.map(child)
    except OSError as error:
        pytest.skip(f"huge pages cannot be mapped here: {error}")
    kernel, engine = KernelWorld(child, BASE), EngineWorld(engine_limits(), BASE)
    text = b"".join(lines_of(kernel))
    device = re.search(rb" (\w+):(\w+) ", text)
    assert device
    major, minor = device.groups()
    told = {(int(major, 16), int(minor, 16)): kind.size}
    anonymous = b"/anon_hugepage" in text and kind.size == PMD_SIZE
    engine.process = Process.from_maps(text + GATE_LINE, hugetlb={} if anonymous else told)
    engine.process.mm.limits = engine_limits()
    return engine, kernel


def lines_of(world: World) -> list[bytes]:
    lines = re.findall(rb"[^\n]*\n", world.all_maps())
    return [line for line in lines if BASE <= int(line.split(b"-")[0], 16) < END]


def record_of(world: World) -> dict[str, str]:
    """Return what smaps says of the first line, without what NORESERVE and soft-dirty bits add."""
    [*_, record] = [r for r in records(world.all_smaps()) if r.line == lines_of(world)[0]]
    fields = {name: text for name, text in record.fields.items() if name != "ProtectionKey"}
    flags = [flag for flag in fields["VmFlags"].split() if flag not in ("nr", "sd")]
    return {**fields, "VmFlags": " ".join(flags)}


def test_smaps_and_the_ioctl_tell_its_pages(kind: Kind, child: KernelProcess, clean: None) -> None:
    engine, kernel = pair_of(kind, child)
    assert lines_of(engine) == lines_of(kernel)
    assert record_of(engine) == record_of(kernel)
    assert record_of(engine)["KernelPageSize"] == str(kind.size >> 10)
    with engine.process.open() as maps:
        assert maps.query(BASE).page_size == kind.size


def calls_of(random: Random, size: int) -> tuple[str, tuple[int, ...]]:
    """Draw a call and its arguments."""
    start = BASE + random.choice((0, 1, 2, 3)) * size + random.choice((0, 0, 0, P, size - P))
    length = random.choice((P, size - P, size, size, size + P, 2 * size, 2 * size))
    often, seldom = ("mprotect", "mremap", "madvise"), ("munmap", "mmap", "mlock2", "touch")
    name = random.choice(often * 3 + seldom)
    prot = random.choice((PROT_NONE, PROT_READ, RW))
    to = BASE + random.choice((8, 9)) * size + random.choice((0, 0, P))
    if size == PUD_SIZE:
        to += P  # Linux counts the bytes that it moves in an int: a move may fail by that
    arguments: dict[str, Any] = {
        "munmap": (start, length),
        "mprotect": (start, length, prot),
        "madvise": (start, length, random.choice(ADVICE)),
        "mlock2": (start, length, 0),
        "mmap": (start, P, prot, ANONYMOUS | MAP_FIXED),  # not much, as it may be brought in
        "touch": (start,),
        "mremap": random.choice(
            (
                (start, length, random.choice((P, size, 2 * size, 3 * size)), MREMAP_MAYMOVE),
                (start, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to),
                (start, length, length, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, to),
                (start, size, length, MREMAP_MAYMOVE | MREMAP_FIXED, to),
            )
        ),
    }
    return name, arguments[name]


@pytest.mark.parametrize("seed", range(6))
def test_calls_give_what_the_kernel_gives(
    kind: Kind, seed: int, child: KernelProcess, clean: None
) -> None:
    random = Random(seed)
    engine, kernel = pair_of(kind, child)
    for _ in range(60):
        name, arguments = calls_of(random, kind.size)
        expected, got = (answer(getattr(w, name), *arguments) for w in (kernel, engine))
        assert (os.strerror(got), name, arguments) == (os.strerror(expected), name, arguments)
        assert lines_of(engine) == lines_of(kernel), (name, arguments)


def test_a_page_may_not_be_cut(kind: Kind, child: KernelProcess, clean: None) -> None:
    """The same for each call that would, said plainly."""
    for world in pair_of(kind, child):
        for call, arguments in (
            (world.mprotect, (BASE + P, P, PROT_READ)),
            (world.munmap, (BASE, P)),
            (world.madvise, (BASE, P, MADV_DONTDUMP)),
            (world.madvise, (BASE + P, kind.size, MADV_DONTNEED)),
            (world.madvise, (BASE, kind.size, MADV_COLLAPSE)),
            (world.mseal, (BASE, P)),
            (world.mmap, (BASE + P, P, RW, ANONYMOUS | MAP_FIXED)),
            (world.mremap, (BASE + P, P, 2 * P, MREMAP_MAYMOVE)),
        ):
            assert answer(call, *arguments) == errno.EINVAL, call
        assert len(lines_of(world)) == 1
