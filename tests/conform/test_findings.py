"""What untorn conform has found: scripts and Linux's results, for engine and kernel.

A page is 0x1000 bytes here; addresses are those of maps.
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.conform.engine_alone import engine_alone
from tests.helpers.this_machine import or_skip
from untorn.conform.case_text import parse_script
from untorn.conform.files import FDS
from untorn.conform.generate.extents import ARENA
from untorn.conform.pair import Pair
from untorn.conform.traced.bounds import memory_pages
from untorn.maps.page import PAGE_SIZE
from untorn.mm.limits import Limits
from untorn.releases.release import modelled

SYNC = "MAP_FIXED | MAP_SYNC"
HALF = (memory_pages() // 2 + 1) * PAGE_SIZE
"""Bytes: two of these are more memory than there is."""
RW = "PROT_READ | PROT_WRITE"
ANONYMOUS = "MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED"
LIMITS = Limits(cap_ipc_lock=True, cap_sys_rawio=True, totalram_pages=memory_pages())


@dataclass
class Finding:
    """A script and its outcome.

    Attributes:
        script: Operations, one per line.
        result: Result of the last one; 0 for any success.
        lines: Lines of maps in the arena: range, permissions, offset.
    """

    script: str
    result: int
    lines: list[str]


FINDINGS = {
    "MAP_SYNC keeps anonymous memory from merging with other": Finding(
        f"""mmap(0x200000000000, 0x1000, PROT_READ, {ANONYMOUS} | MAP_SYNC, -1, 0)
            mmap(0x200000001000, 0x1000, PROT_READ, {ANONYMOUS}, -1, 0)""",
        0,
        ["200000000000-200000001000 r--p 00000000", "200000001000-200000002000 r--p 00000000"],
    ),
    "MAP_SYNC without DAX is refused when what was there is gone": Finding(
        f"""mmap(0x200000000000, 0x3000, PROT_READ, {ANONYMOUS}, -1, 0)
            mmap(0x200000001000, 0x1000, PROT_READ, MAP_PRIVATE | {SYNC}, ONE, 0)""",
        -errno.EOPNOTSUPP,
        ["200000000000-200000001000 r--p 00000000", "200000002000-200000003000 r--p 00000000"],
    ),
    "MAP_SYNC without DAX is not refused early by MAP_SHARED_VALIDATE either": Finding(
        f"""mmap(0x200000000000, 0x1000, PROT_READ, {ANONYMOUS}, -1, 0)
            mmap(0x200000000000, 0x1000, PROT_READ, MAP_SHARED | MAP_PRIVATE | {SYNC}, ONE, 0)""",
        -errno.EOPNOTSUPP,
        [],
    ),
    "MAP_SYNC of a file in memory is refused early by MAP_SHARED_VALIDATE": Finding(
        f"""mmap(0x200000000000, 0x1000, PROT_READ, {ANONYMOUS}, -1, 0)
            mmap(0x200000000000, 0x1000, PROT_READ, MAP_SHARED | MAP_PRIVATE | {SYNC}, MEMORY, 0)
            """,
        -errno.EOPNOTSUPP,
        ["200000000000-200000001000 r--p 00000000"],
    ),
    "RLIMIT_MEMLOCK is looked at before the kind of mapping": Finding(
        """capset()
           setrlimit(RLIMIT_MEMLOCK, 0x1000)
           mmap(0x200000000000, 0x2000, PROT_READ, MAP_SHARED | MAP_LOCKED, DIRECTORY, 0)""",
        -errno.EAGAIN,
        [],
    ),
    "private /dev/zero has the file's offset until it moves": Finding(
        f"""mmap(0x200000000000, 0x2000, {RW}, MAP_PRIVATE | MAP_FIXED, ZERO, 0x5000)
            mremap(0x200000000000, 0x1000, 0x1000, MREMAP_MAYMOVE | MREMAP_FIXED, 0x200000008000)
            """,
        0,
        ["200000001000-200000002000 rw-p 00006000", "200000008000-200000009000 rw-p 200000008000"],
    ),
    "private /dev/zero keeps its offset if it was written": Finding(
        f"""mmap(0x200000000000, 0x1000, {RW}, MAP_PRIVATE | MAP_FIXED, ZERO, 0x5000)
            touch_write(0x200000000000)
            mremap(0x200000000000, 0x1000, 0x1000, MREMAP_MAYMOVE | MREMAP_FIXED, 0x200000008000)
            """,
        0,
        ["200000008000-200000009000 rw-p 00005000"],
    ),
    "private /dev/zero goes on at any offset": Finding(
        f"""mmap(0x200000000000, 0x3000, {RW}, MAP_PRIVATE | MAP_FIXED, ZERO, 0x7ffffffffffff000)
            touch_write(0x200000001000)
            madvise(0x200000000000, 0x3000, MADV_POPULATE_READ)""",
        0,
        ["200000000000-200000003000 rw-p 7ffffffffffff000"],
    ),
    "shared /dev/zero is a file as long as the mapping, at the offset asked for": Finding(
        f"""mmap(0x200000000000, 0x2000, {RW}, MAP_SHARED | MAP_FIXED, ZERO, 0x1000)
            touch_write(0x200000000000)
            touch_write(0x200000001000)""",
        -errno.EFAULT,
        ["200000000000-200000002000 rw-s 00001000"],
    ),
    "private /dev/zero of a huge page goes to the boundary of one, hint or not": Finding(
        f"""mmap(0x200000200000, 0x200000, {RW}, MAP_PRIVATE, ZERO, 0)
            mmap(0x200000400000, 0x200000, {RW}, MAP_SHARED, ZERO, 0)""",
        0,
        ["200000200000-200000400000 rw-p 00000000", "200000400000-200000600000 rw-s 00000000"],
    ),
    "private /dev/zero cannot be one of several that move": Finding(
        f"""mmap(0x200000000000, 0x1000, PROT_READ, MAP_SHARED | MAP_FIXED, ONE, 0)
            mmap(0x200000001000, 0x1000, {RW}, MAP_PRIVATE | MAP_FIXED, ZERO, 0)
            mremap(0x200000000000, 0x2000, 0x2000, MREMAP_MAYMOVE | MREMAP_FIXED, 0x200000008000)
            """,
        -errno.EFAULT,
        ["200000001000-200000002000 rw-p 00000000", "200000008000-200000009000 r--s 00000000"],
    ),
    "a fork child's VMA that grows in place up to another merges with that": Finding(
        f"""mmap(0x200000000000, 0x1000, {RW}, {ANONYMOUS}, -1, 0)
            touch_write(0x200000000000)
            mmap(0x200000002000, 0x1000, {RW}, {ANONYMOUS}, -1, 0)
            fork()
            mremap(0x200000000000, 0x1000, 0x2000, 0, 0)""",
        0,
        ["200000000000-200000003000 rw-p 00000000"],
    ),
    "shared memory that may not be promised is refused when what was there is gone": Finding(
        f"""mmap(0x200000000000, 0x1000, PROT_READ, {ANONYMOUS}, -1, 0)
            mmap(0x200000000000, {2 * HALF:#x}, 0, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
            """,
        -errno.ENOMEM,
        [],
    ),
    "less than a huge page of nameless shared memory is collapsed, into nothing": Finding(
        """mmap(0x200000200000, 0x200000, 0, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
           madvise(0x200000200000, 0x1000, MADV_COLLAPSE)""",
        0,
        ["200000200000-200000400000 ---s 00000000"],
    ),
    "nameless shared memory off the boundary of a huge page is never collapsed": Finding(
        """mmap(0x200000201000, 0x400000, 0, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
           madvise(0x200000201000, 0x1000, MADV_COLLAPSE)""",
        -errno.EINVAL,
        ["200000201000-200000601000 ---s 00000000"],
    ),
    "what lies wholly below the first boundary of a huge page passes for one": Finding(
        f"""mmap(0, 0x1000, {RW}, {ANONYMOUS} | MAP_POPULATE, -1, 0)
            madvise(0, 0x1000, MADV_COLLAPSE)""",
        0,
        [],
    ),
    "a fork fails if one VMA is more than may be promised": Finding(
        f"""mmap(0x300000000000, {HALF:#x}, {RW}, {ANONYMOUS}, -1, 0)
            mmap({0x3000_0000_0000 + HALF:#x}, {HALF:#x}, {RW}, {ANONYMOUS}, -1, 0)
            fork()""",
        -errno.ENOMEM,
        [],
    ),
    "a directory does not know MAP_SYNC, whatever its file system's files know": Finding(
        "mmap(0, 0x1000, PROT_READ, MAP_SHARED | MAP_PRIVATE | MAP_SYNC, DIRECTORY, 0)",
        -errno.EOPNOTSUPP,
        [],
    ),
    "the offsets of a directory do not end where those of files do": Finding(
        "mmap(0, 0x1000, PROT_READ, MAP_PRIVATE, DIRECTORY, 0x8000000000000000)",
        -errno.ENODEV,
        [],
    ),
    "what is sealed against writing cannot be mapped to be written by others": Finding(
        f"mmap({ARENA:#x}, 0x1000, {RW}, MAP_SHARED | MAP_FIXED, SEALED, 0)",
        -errno.EPERM,
        [],
    ),
    "a shared mapping of what is sealed stays one that cannot be written": Finding(
        f"""mmap({ARENA:#x}, 0x1000, PROT_READ, MAP_SHARED | MAP_FIXED, SEALED, 0)
            mprotect({ARENA:#x}, 0x1000, {RW})""",
        -errno.EACCES,
        ["200000000000-200000001000 r--s 00000000"],
    ),
    "a private mapping of what is sealed can be written": Finding(
        f"mmap({ARENA:#x}, 0x1000, {RW}, MAP_PRIVATE | MAP_FIXED, SEALED, 0)",
        0,
        ["200000000000-200000001000 rw-p 00000000"],
    ),
}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with or_skip(Pair.live) as pair:
        yield pair


def lines_of(maps: bytes) -> list[str]:
    lines = [line.split()[:3] for line in maps.decode().splitlines()]
    return [" ".join(line) for line in lines if line[0].startswith(f"{ARENA:x}"[:6])]


@pytest.mark.parametrize("name", FINDINGS)
def test_the_engine_does_as_linux_does(name: str) -> None:
    finding, side = FINDINGS[name], engine_alone(modelled(None), LIMITS)
    results = [side.do(operation) for operation in parse_script(finding.script)]
    assert min(results[-1], 0) == finding.result
    assert lines_of(side.maps()) == finding.lines
    side.check()


@pytest.mark.live
@pytest.mark.parametrize("name", FINDINGS)
def test_linux_does_so(name: str, pair: Pair) -> None:
    finding = FINDINGS[name]
    pair.renew()
    if "MAP_SYNC, ONE" in finding.script and not pair.files[FDS["ONE"]].refuses_sync:
        pytest.skip("temporary files are not on ext4 or xfs here")
    if "mmap(0," in finding.script and not pair.engine.mm.limits.cap_sys_rawio:
        pytest.skip("nothing may be mapped at address 0 without CAP_SYS_RAWIO")
    for operation in parse_script(finding.script):
        assert pair.step(operation) is None
    assert min(pair.last.result, 0) == finding.result
    assert lines_of(pair.last.maps) == finding.lines
