"""Memory policies: how they split and merge VMAs, what keeps them, and what is refused."""

import errno
import os
from collections.abc import Callable
from functools import partial

import pytest

from tests.helpers.engine import text_of
from untorn.errors import NotModelledError
from untorn.maps.page import PAGE_SIZE
from untorn.mm.file import VmFile
from untorn.mm.filemap import AddressSpace
from untorn.mm.limits import Limits
from untorn.mm.mempolicy import (
    MPOL_BIND,
    MPOL_DEFAULT,
    MPOL_F_NUMA_BALANCING,
    MPOL_F_RELATIVE_NODES,
    MPOL_F_STATIC_NODES,
    MPOL_INTERLEAVE,
    MPOL_LOCAL,
    MPOL_MF_MOVE,
    MPOL_MF_MOVE_ALL,
    MPOL_MF_STRICT,
    MPOL_PREFERRED,
    MPOL_PREFERRED_MANY,
    MPOL_WEIGHTED_INTERLEAVE,
)
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_MAYMOVE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.syscalls import Process

P = PAGE_SIZE
AT = 0x2000_0000_0000
RW = PROT_READ | PROT_WRITE
PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED


def process(nodes: int = 1, release: tuple[int, int] = (6, 18), **limits: bool) -> Process:
    return Process(MmStruct(limits=Limits(mems_allowed=nodes, **limits), release=release))


def mapped(pages: int = 6, nodes: int = 1) -> Process:
    made = process(nodes)
    made.mmap(AT, pages * P, RW, PRIVATE)
    return made


def pages_of(made: Process) -> list[int]:
    return [(end - start) // P for start, end, _ in made.mm.mm_mt]


def policies(made: Process) -> list[bytes]:
    with made.open("numa_maps") as file:
        lines = file.read(1 << 16).splitlines()
    return [line.split(b" ", 1)[1].split(b" anon=")[0].split(b" file=")[0] for line in lines]


def refused(number: int, call: Callable[[], object]) -> None:
    with pytest.raises(OSError, match=os.strerror(number)):
        call()


def test_a_policy_splits_and_the_same_again_merges() -> None:
    made = mapped()
    made.mbind(AT + 2 * P, 2 * P, MPOL_BIND, 1)
    assert pages_of(made) == [2, 2, 2]
    assert policies(made) == [b"default", b"bind:0", b"default"]
    made.mbind(AT, 6 * P, MPOL_BIND, 1)
    assert pages_of(made) == [6]
    made.mbind(AT + P, P, MPOL_DEFAULT)
    made.mbind(AT, 6 * P, MPOL_DEFAULT)
    assert pages_of(made) == [6]


def test_a_new_mapping_joins_none_that_has_a_policy() -> None:
    made = mapped(2)
    made.mbind(AT, 2 * P, MPOL_LOCAL)
    made.mmap(AT + 2 * P, P, RW, PRIVATE)
    assert pages_of(made) == [2, 1]
    made.munmap(AT + 2 * P, P)
    made.mremap(AT, 2 * P, 3 * P)
    assert pages_of(made) == [3]


def test_a_move_and_a_fork_keep_it() -> None:
    made = mapped(2)
    made.mbind(AT, 2 * P, MPOL_INTERLEAVE, 1)
    made.mmap(AT + 2 * P, P, PROT_READ, PRIVATE)
    made.mremap(AT, 2 * P, 3 * P, MREMAP_MAYMOVE)
    assert policies(made) == [b"default", b"interleave:0"]
    assert policies(made.fork()) == [b"default", b"interleave:0"]


def test_neighbours_of_different_policies_share_no_anon_vma() -> None:
    made = mapped(2)
    made.mbind(AT, P, MPOL_BIND, 1)
    for page in AT, AT + P:
        made.touch(page, write=True)
    made.mbind(AT, 2 * P, MPOL_DEFAULT)
    assert pages_of(made) == [1, 1], "each has pages of its own anon_vma"


def test_a_file_in_memory_keeps_policies_for_all_its_mappings() -> None:
    made = process()
    made.files[3] = VmFile(b"/memfd:x (deleted)", mapping=AddressSpace(shmem=True))
    made.mmap(AT, 4 * P, RW, MAP_SHARED | MAP_FIXED, 3)
    made.mbind(AT + P, 2 * P, MPOL_BIND, 1)
    made.munmap(AT, 4 * P)
    for page in range(4):
        made.mmap(AT + 2 * page * P, P, RW, MAP_PRIVATE | MAP_FIXED, 3, page * P)
    assert policies(made) == [b"default", b"bind:0", b"bind:0", b"default"]
    made.mbind(AT + 2 * P, P, MPOL_LOCAL)
    assert policies(made) == [b"default", b"local", b"bind:0", b"default"]


def test_a_task_has_one_for_all_that_has_none_and_a_child_gets_it() -> None:
    made = mapped(2)
    made.mbind(AT, P, MPOL_LOCAL)
    made.set_mempolicy(MPOL_PREFERRED, 1)
    assert policies(made) == [b"local", b"prefer:0"]
    assert policies(made.fork()) == [b"local", b"prefer:0"]
    made.set_mempolicy(MPOL_DEFAULT)
    assert policies(made) == [b"local", b"default"]


NODES = 0b100111
SHOWN = {
    b"bind:0-2,5": (MPOL_BIND, NODES),
    b"bind=static:1": (MPOL_BIND | MPOL_F_STATIC_NODES, 0b10),
    b"bind=relative:0,5": (MPOL_BIND | MPOL_F_RELATIVE_NODES, 0b11000),  # modulo 4
    b"bind=static|balancing:0": (MPOL_BIND | MPOL_F_STATIC_NODES | MPOL_F_NUMA_BALANCING, 1),
    b"prefer:2": (MPOL_PREFERRED, 0b100100),
    b"local": (MPOL_PREFERRED, 0),
    b"prefer (many):0,2": (MPOL_PREFERRED_MANY, 0b101),
    b"weighted interleave:1": (MPOL_WEIGHTED_INTERLEAVE, 0b10),
}


@pytest.mark.parametrize("shown", SHOWN, ids=bytes.decode)
def test_numa_maps_shows_what_was_asked_for(shown: bytes) -> None:
    made = mapped(1, NODES)
    made.mbind(AT, P, *SHOWN[shown])
    assert policies(made) == [shown]


WRONG = {
    "flag": (errno.EINVAL, (AT, P, MPOL_BIND, 1, 8)),
    "mode": (errno.EINVAL, (AT, P, 7, 1)),
    "both ways to count": (
        errno.EINVAL,
        (AT, P, MPOL_BIND | MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES, 1),
    ),
    "balancing": (errno.EINVAL, (AT, P, MPOL_INTERLEAVE | MPOL_F_NUMA_BALANCING, 1)),
    "nodes of the default": (errno.EINVAL, (AT, P, MPOL_DEFAULT, 1)),
    "nodes of local": (errno.EINVAL, (AT, P, MPOL_LOCAL, 1)),
    "no nodes": (errno.EINVAL, (AT, P, MPOL_BIND, 0)),
    "none that is there": (errno.EINVAL, (AT, P, MPOL_BIND, 2)),
    "none and static": (errno.EINVAL, (AT, P, MPOL_PREFERRED | MPOL_F_STATIC_NODES, 0)),
    "unaligned": (errno.EINVAL, (AT + 1, P, MPOL_BIND, 1)),
    "wraps": (errno.EINVAL, (AT, (1 << 64) - P, MPOL_BIND, 1)),
    "no right": (errno.EPERM, (AT, P, MPOL_BIND, 1, MPOL_MF_MOVE_ALL)),
    "hole before": (errno.EFAULT, (AT - P, 2 * P, MPOL_BIND, 1)),
    "hole after": (errno.EFAULT, (AT, 7 * P, MPOL_BIND, 1)),
    "nothing": (errno.EFAULT, (AT + 6 * P, P, MPOL_DEFAULT)),
    "elsewhere": (errno.EIO, (AT, P, MPOL_LOCAL, 0, MPOL_MF_STRICT)),
}


@pytest.mark.parametrize(("number", "arguments"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_and_changes_nothing(
    number: int, arguments: tuple[int, ...]
) -> None:
    made = mapped()
    made.touch(AT, write=True)
    refused(number, lambda: made.mbind(*arguments))
    assert pages_of(made) == [6]
    assert policies(made) == [b"default"]


def test_holes_do_not_matter_to_the_default_and_no_length_is_nothing() -> None:
    made = mapped()
    made.mbind(AT, 6 * P, MPOL_BIND, 1)
    made.mbind(AT - P, 8 * P, MPOL_DEFAULT)
    made.mbind(AT + 99 * P, 0, MPOL_BIND, 1)
    assert policies(made) == [b"default"]


def test_strict_succeeds_if_no_page_is_resident_or_all_are_on_allowed_nodes() -> None:
    made = mapped()
    made.mbind(AT, P, MPOL_LOCAL, 0, MPOL_MF_STRICT)
    made.touch(AT, write=True)
    made.mbind(AT, P, MPOL_BIND, 1, MPOL_MF_STRICT | MPOL_MF_MOVE)
    assert policies(made) == [b"bind:0", b"default"]


@pytest.mark.parametrize(("nodes", "flags"), [(3, 0), (1, MPOL_MF_MOVE)])
def test_with_several_nodes_the_node_of_a_page_is_not_made_up(nodes: int, flags: int) -> None:
    made = mapped(1, nodes)
    made.touch(AT, write=True)
    mode, nodemask = (MPOL_BIND, 1) if nodes == 3 else (MPOL_LOCAL, 0)
    with pytest.raises(NotModelledError, match="mbind"):
        made.mbind(AT, P, mode, nodemask, MPOL_MF_STRICT | flags)
    assert policies(made) == [b"default"]


def test_a_home_node_is_part_of_a_policy() -> None:
    made = mapped(3)
    refused(errno.ENOENT, lambda: made.set_mempolicy_home_node(AT, P, 0))
    made.mbind(AT, 2 * P, MPOL_BIND, 1)
    made.set_mempolicy_home_node(AT + P, 2 * P, 0)
    assert pages_of(made) == [1, 1, 1]
    made.set_mempolicy_home_node(AT, P, 0)
    assert pages_of(made) == [2, 1]
    made.mbind(AT, P, MPOL_LOCAL)
    refused(errno.EOPNOTSUPP, lambda: made.set_mempolicy_home_node(AT, P, 0))
    for wrong in (1, 0), (1 << 40, 0), (0, 1):
        refused(errno.EINVAL, partial(made.set_mempolicy_home_node, AT, P, *wrong))


def test_releases_differ_in_the_modes_they_have() -> None:
    old = process(release=(6, 1))
    refused(errno.EINVAL, lambda: old.set_mempolicy(MPOL_WEIGHTED_INTERLEAVE, 1))
    refused(errno.EINVAL, lambda: old.set_mempolicy(MPOL_PREFERRED_MANY | MPOL_F_NUMA_BALANCING, 1))
    new = process(release=(6, 12))
    new.set_mempolicy(MPOL_WEIGHTED_INTERLEAVE, 1)
    new.set_mempolicy(MPOL_PREFERRED_MANY | MPOL_F_NUMA_BALANCING, 1)


def test_a_kernel_without_numa_has_none_of_these_calls() -> None:
    made = mapped(1, nodes=0)
    before = text_of(made)
    refused(errno.ENOSYS, lambda: made.mbind(AT, P, MPOL_DEFAULT))
    refused(errno.ENOSYS, lambda: made.set_mempolicy(MPOL_DEFAULT))
    refused(errno.ENOSYS, lambda: made.set_mempolicy_home_node(AT, P, 0))
    assert text_of(made) == before


def test_the_right_to_move_all_is_asked_for() -> None:
    made = process(cap_sys_nice=True)
    made.mmap(AT, P, RW, PRIVATE)
    made.mbind(AT, P, MPOL_BIND, 1, MPOL_MF_MOVE_ALL)
    assert policies(made) == [b"bind:0"]
