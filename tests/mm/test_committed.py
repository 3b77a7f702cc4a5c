"""vm.overcommit_memory=2: the memory that is committed, and when it no longer is."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from untorn.engine import (
    MADV_DONTNEED,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_MAYMOVE,
    PAGE_SIZE,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Limits,
    MmStruct,
    Process,
)
from untorn.mm.limits import OVERCOMMIT_NEVER

P = PAGE_SIZE
RW = PROT_READ | PROT_WRITE
PRIVATE, SHARED = MAP_PRIVATE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS
BASE = 0x3000_0000_0000
LIMITS = Limits(
    overcommit_memory=OVERCOMMIT_NEVER, commit_limit=101, admin_reserve=50, cap_sys_admin=True
)
"""A hundred pages may be committed, but only fifty without CAP_SYS_ADMIN."""


def process(limits: Limits = LIMITS) -> Process:
    return Process(MmStruct(limits=limits))


def committed(process: Process) -> int:
    return process.mm.vm_committed.pages.load()


def refused(call: Callable[..., object], *arguments: int) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.ENOMEM)):
        call(*arguments)


def test_all_mappings_together_are_committed_no_more_than_the_limit() -> None:
    one = process(replace(LIMITS, user_reserve=0))
    one.mmap(BASE, 60 * P, RW, PRIVATE | MAP_FIXED)
    refused(one.mmap, 0, 41 * P, RW, PRIVATE)
    one.mmap(0, 40 * P, RW, PRIVATE)
    assert committed(one) == 100
    one.munmap(BASE, 60 * P)
    assert committed(one) == 40


def test_what_is_kept_for_the_administrator_and_from_a_large_process() -> None:
    one = process(replace(LIMITS, cap_sys_admin=False))
    refused(one.mmap, 0, 51 * P, RW, PRIVATE)
    large = process()
    large.mmap(0, 64 * P, PROT_NONE, PRIVATE)  # two pages of the reserve
    refused(large.mmap, 0, 99 * P, RW, PRIVATE)
    large.mmap(0, 98 * P, RW, PRIVATE)


def test_noreserve_reserves_nevertheless() -> None:
    one = process()
    one.mmap(0, 10 * P, RW, PRIVATE | MAP_NORESERVE)
    assert committed(one) == 10


def test_memory_that_becomes_writable_or_grows_is_committed() -> None:
    one = process(replace(LIMITS, user_reserve=0))
    one.mmap(BASE, 50 * P, PROT_READ, PRIVATE | MAP_FIXED)
    assert committed(one) == 0
    one.mprotect(BASE, 50 * P, RW)
    one.mremap(BASE, 50 * P, 100 * P, MREMAP_MAYMOVE)
    assert committed(one) == 100
    refused(one.mremap, BASE, 100 * P, 101 * P, MREMAP_MAYMOVE)


def test_a_fork_commits_all_again_and_an_exit_gives_it_back() -> None:
    one = process(replace(LIMITS, user_reserve=0))
    one.mmap(0, 40 * P, RW, PRIVATE)
    one.mmap(0, 10 * P, RW, SHARED)
    child = one.fork()
    assert committed(one) == committed(child) == 90
    refused(one.fork)
    assert committed(one) == 90
    child.exit()
    assert committed(one) == 50


def test_shared_memory_is_committed_until_nobody_maps_it() -> None:
    one = process()
    one.mmap(BASE, 8 * P, RW, SHARED | MAP_FIXED)
    child = one.fork()
    one.munmap(BASE, 4 * P)
    one.madvise(BASE + 4 * P, P, MADV_DONTNEED)
    one.exit()
    assert committed(child) == 8
    child.munmap(BASE, 8 * P)
    assert committed(child) == 0


def test_the_growth_of_a_stack_without_account_stays_committed() -> None:
    one = process()
    one.mmap(BASE, P, PROT_READ, PRIVATE | MAP_FIXED | MAP_GROWSDOWN)
    one.touch(BASE - P, write=False)
    one.munmap(BASE - P, 2 * P)
    assert committed(one) == 1
