"""Refusals that need a process or a mount of its own: MDWE, noexec, locks on what is to come."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from errno import EACCES, EAGAIN, EPERM, errorcode
from pathlib import Path

import pytest

from tests.oracle.diagrams import lay
from tests.oracle.kernel_process import KernelProcess, Step, why_not
from tests.oracle.real_files import vm_file
from tests.oracle.worlds import (
    CAP_IPC_LOCK,
    RW,
    EngineWorld,
    KernelWorld,
    World,
    answer,
    engine_limits,
)
from untorn.maps.page import PAGE_SIZE
from untorn.mm.file import VmFile
from untorn.mm.mman import (
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    VM_LOCKED,
)

RX, RWX = PROT_READ | PROT_EXEC, RW | PROT_EXEC
BOTH = pytest.mark.parametrize("which", ["engine", pytest.param("kernel", marks=pytest.mark.live)])
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
MCL_FUTURE = 2


@pytest.fixture(scope="module")
def own_child() -> Iterator[KernelProcess]:
    """A child that this module may take rights from, for good."""
    if reason := why_not():
        pytest.skip(reason)
    with KernelProcess() as process:
        yield process


@pytest.fixture
def write_xor_exec(which: str, request: pytest.FixtureRequest) -> World:
    """A process that may not gain executable memory."""
    if which == "engine":
        return EngineWorld(replace(engine_limits(), deny_write_exec=True))
    process = request.getfixturevalue("own_child")
    try:
        process.call("prctl", PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
    except OSError as error:
        pytest.skip(f"this kernel has no PR_SET_MDWE: {error}")
    return KernelWorld(process)


def mmap_of(prot: int) -> Callable[[World], object]:
    return lambda world: world.mmap(world.page(8), prot=prot)


def mprotect_to(prot: int) -> Callable[[World], object]:
    return lambda world: world.mprotect(world.page(0), prot=prot)


@BOTH
@pytest.mark.parametrize(
    ("there", "call", "number"),
    [
        ("", mmap_of(RWX), EACCES),
        ("", mmap_of(PROT_WRITE | PROT_EXEC), EACCES),
        ("", mmap_of(RX), 0),
        ("W", mprotect_to(RX), EACCES),
        ("R", mprotect_to(RX), EACCES),
        ("N", mprotect_to(PROT_EXEC), EACCES),
        ("X", mprotect_to(RWX), EACCES),
        ("X", mprotect_to(PROT_EXEC), 0),
        ("X", mprotect_to(RX), 0),
        ("X", mprotect_to(RW), 0),
    ],
    ids=lambda value: errorcode.get(value, "ok") if isinstance(value, int) else None,
)
def test_memory_gains_no_execution_under_mdwe(
    write_xor_exec: World, there: str, call: Callable[[World], object], number: int
) -> None:
    lay(write_xor_exec, there)
    assert answer(lambda: call(write_xor_exec)) == number


@pytest.fixture
def noexec_file(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[World, int]:
    """A file to map, on a mount where nothing may be executed."""
    path = tmp_path / "file"
    if which == "engine":
        path.touch()
        world = EngineWorld(engine_limits())
        return world, world.adopt(replace_noexec(vm_file(path, os.O_RDWR)))
    process = request.getfixturevalue("own_child")
    try:
        process.call("mount_noexec", str(tmp_path))
    except OSError as error:
        pytest.skip(f"no mount can be made here: {error}")
    return KernelWorld(process), process.call("open", str(path), os.O_RDWR | os.O_CREAT)


def replace_noexec(file: VmFile) -> VmFile:
    file.noexec = True
    return file


@BOTH
@pytest.mark.parametrize("flags", [MAP_PRIVATE, MAP_SHARED], ids=["private", "shared"])
def test_nothing_is_executed_from_a_noexec_mount(
    noexec_file: tuple[World, int], flags: int
) -> None:
    world, fd = noexec_file
    assert answer(lambda: world.mmap(prot=RX, flags=flags, fd=fd)) == EPERM
    addr = world.mmap(prot=RW, flags=flags, fd=fd)
    assert answer(lambda: world.mprotect(addr, prot=RX)) == EACCES
    world.munmap(addr)


@BOTH
def test_what_is_mapped_on_a_file_not_writable_stays_unwritten(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    world = request.getfixturevalue(which)
    path = tmp_path / "file"
    path.write_bytes(bytes(PAGE_SIZE))
    fd = world.open(path, os.O_RDONLY)
    shared = world.mmap(prot=PROT_READ, flags=MAP_SHARED, fd=fd)
    assert answer(lambda: world.mprotect(shared, prot=RW)) == EACCES
    private = world.mmap(prot=PROT_READ, flags=MAP_PRIVATE, fd=fd)
    assert answer(lambda: world.mprotect(private, prot=RW)) == 0


def test_locks_on_what_is_to_come_count_against_the_limit_in_the_engine(
    engine: EngineWorld,
) -> None:
    engine.process.mm.def_flags = VM_LOCKED
    engine.process.mm.limits = replace(engine_limits(), cap_ipc_lock=False, rlimit_memlock=0)
    assert answer(engine.mmap) == EAGAIN


@pytest.mark.live
def test_locks_on_what_is_to_come_count_against_the_limit_in_the_kernel(
    kernel: KernelWorld,
) -> None:
    # Only the call itself meets the limit: the child must not, it maps memory too.
    if not kernel.process.has_capability(CAP_IPC_LOCK):
        pytest.skip("locking all that is to come needs CAP_IPC_LOCK")
    future: list[Step] = [
        ["mlockall", MCL_FUTURE],
        ["limit", "MEMLOCK", 0],
        ["capability", CAP_IPC_LOCK, False],
    ]
    back: list[Step] = [
        ["capability", CAP_IPC_LOCK, True],
        ["limit", "MEMLOCK", None],
        ["munlockall"],
    ]
    with kernel.process.around(future, back):
        assert answer(kernel.mmap) == EAGAIN
