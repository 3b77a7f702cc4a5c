"""System V shared memory, in engine and kernel: its lines, its errno, and merges it keeps from."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.oracle.diagrams import drawn
from tests.oracle.kernel_process import KernelProcess
from tests.oracle.worlds import EngineWorld, KernelWorld, World, answer, engine_limits
from untorn.maps.page import PAGE_SIZE
from untorn.mm.calls.shm import SHM_EXEC, SHM_RDONLY, SHM_REMAP, SHM_RND, ShmSegment
from untorn.mm.mman import MREMAP_FIXED, MREMAP_MAYMOVE, PROT_READ

pytestmark = pytest.mark.live

P = PAGE_SIZE
IPC_RMID, IPC_CREAT, ALL_MAY = 0, 0o1000, 0o777
MOVE = MREMAP_FIXED | MREMAP_MAYMOVE


class Segments:
    """A segment of each world, attached and detached alike in both; it goes with the last of it."""

    def __init__(self, child: KernelProcess, size: int, key: int = 0) -> None:
        self.kernel = KernelWorld(child)
        self.engine = EngineWorld(engine_limits(), self.kernel.base)
        self.shmid = child.call("shmget", key, size, IPC_CREAT | ALL_MAY)
        self.segment = ShmSegment(size, key, self.shmid)

    def both(self, call: str, page: int, *arguments: int, offset: int = 0) -> int:
        """Make a call of both worlds about a page; return the errno that both have, or 0."""
        answers = []
        for world in (self.engine, self.kernel):
            addr = world.page(page) + offset
            function = getattr(self, f"_{call}", None) or getattr(World, call)
            answers.append(answer(lambda *a, f=function, w=world: f(w, *a), addr, *arguments))
        assert answers[0] == answers[1], f"{call} of page {page}: engine, kernel"
        assert self.engine.maps() == self.kernel.maps()
        return answers[0]

    def _shmat(self, world: World, addr: int, flags: int = 0) -> int:
        if world is self.engine:
            return self.engine.process.shmat(self.segment, addr, flags)
        return self.kernel.process.call("shmat", self.shmid, addr, flags)

    def _shmdt(self, world: World, addr: int) -> None:
        if world is self.engine:
            self.engine.process.shmdt(addr)
        else:
            self.kernel.process.call("shmdt", addr)

    def drawn(self) -> str:
        return drawn(self.engine)


@contextmanager
def attached(child: KernelProcess, size: int, key: int = 0) -> Iterator[Segments]:
    """Attach a segment at page 0; it is gone from the machine with the last that is attached."""
    segments = Segments(child, size, key)
    try:
        segments.both("shmat", 0)
    finally:
        child.call("shmctl", segments.shmid, IPC_RMID, 0)
    try:
        yield segments
    finally:
        for line in segments.kernel.maps():
            start, end = (int(text, 16) for text in line.split()[0].split(b"-"))
            segments.kernel.munmap(start, end - start)


@pytest.mark.parametrize(
    ("size", "key"), [(1, 0), (3 * P, 0x75_6E74_6F72 & 0xFFFF_FFFF), (P + 1, 7)]
)
def test_a_segment_has_its_key_for_a_name_and_its_number_for_an_inode(
    child: KernelProcess, size: int, key: int
) -> None:
    with attached(child, size, key) as segments:
        (line,) = segments.kernel.maps()
        assert line.endswith(b"/SYSV%08x (deleted)\n" % key)
        assert b" %d " % segments.shmid in line
        assert segments.both("touch", 0) == 0


FLAGS = {
    "taken": (1, 0, 0, errno.EINVAL),
    "reaches what is taken": (-1, 0, 0, errno.EINVAL),
    "replaces": (1, 0, SHM_REMAP, 0),
    "not aligned": (8, 5, 0, errno.EINVAL),
    "rounded": (8, 5, SHM_RND, 0),
    "read-only": (8, 0, SHM_RDONLY, 0),
    "to execute": (8, 0, SHM_EXEC, 0),
    "read-only, to execute": (8, 0, SHM_RDONLY | SHM_EXEC, 0),
}


@pytest.mark.parametrize(("page", "offset", "flags", "number"), FLAGS.values(), ids=FLAGS.keys())
def test_shmat_gives(child: KernelProcess, page: int, offset: int, flags: int, number: int) -> None:
    with attached(child, 3 * P) as segments:
        assert segments.both("shmat", page, flags, offset=offset) == number


def test_to_replace_needs_an_address(child: KernelProcess) -> None:
    with attached(child, P) as segments:
        assert answer(segments._shmat, segments.engine, 0, SHM_REMAP) == errno.EINVAL
        assert answer(segments._shmat, segments.kernel, 0, SHM_REMAP) == errno.EINVAL


def test_what_was_cut_out_stays_apart(child: KernelProcess) -> None:
    # 012345
    # wwwwww   mprotect page 2 and back: no merge makes a VMA go, as something is done when it goes
    # wwrwww
    # wwwwww   three VMAs
    with attached(child, 6 * P) as segments:
        segments.both("mprotect", 2, P, PROT_READ)
        assert segments.drawn() == "w-rw--"
        segments.both("mprotect", 2, P, PROT_READ | 2)
        assert segments.drawn() == "w-ww--"


def test_borders_may_move(child: KernelProcess) -> None:
    # 0123456
    # wwrrrww   mprotect page 2, then page 4: each joins its neighbour, something of r stays
    # wwwrwww
    with attached(child, 7 * P) as segments:
        segments.both("mprotect", 2, 3 * P, PROT_READ)
        segments.both("mprotect", 2, P, PROT_READ | 2)
        assert segments.drawn() == "w--r-w-"
        segments.both("mprotect", 4, P, PROT_READ | 2)
        assert segments.drawn() == "w--rw--"


def test_a_copy_between_two_joins_the_one_below_only(child: KernelProcess) -> None:
    # 0123456789
    # wwwwww      unmap 2, map the segment again there by a move of page 2 from afar
    # ww.www
    # wwwwww      two VMAs
    with attached(child, 6 * P) as segments:
        segments.both("mremap", 2, P, P, MOVE, segments.kernel.page(9))
        assert segments.drawn() == "w-.w--...w"
        segments.both("mremap", 9, P, P, MOVE, segments.kernel.page(2))
        assert segments.drawn() == "w--w--"


def test_shmdt_unmaps_what_is_left_and_no_other_attachment(child: KernelProcess) -> None:
    with attached(child, 4 * P) as segments:
        segments.both("shmat", 8)
        segments.both("munmap", 1, P)
        segments.both("mprotect", 2, P, PROT_READ)
        segments.both("mremap", 3, P, P, MOVE, segments.kernel.page(20))
        assert segments.both("shmdt", 1) == errno.EINVAL, "page 2 is the second from there"
        assert segments.both("shmdt", 0, offset=1) == errno.EINVAL
        assert segments.both("shmdt", 0) == 0
        assert segments.drawn() == "." * 8 + "w---" + "." * 8 + "w"
        assert segments.both("shmdt", 17) == 0, "page 20 is the fourth from there"
        assert segments.both("shmdt", 8) == 0
        assert segments.drawn() == ""


def test_sealed_parts_survive_shmdt(engine: EngineWorld) -> None:
    # The engine alone: the kernel's child could never be rid of it.
    engine.process.shmat(ShmSegment(2 * P), engine.page(0))
    engine.mseal(engine.page(1), P)
    engine.process.shmdt(engine.page(0))
    assert drawn(engine) == ".w"
    limits = engine.process.mm.limits
    engine.process.mm.limits = replace(limits, rlimit_as=engine.process.mm.total_vm)
    assert answer(engine.process.shmat, ShmSegment(P), engine.page(4)) == errno.ENOMEM
