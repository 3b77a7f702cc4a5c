"""The child under test, and the two worlds that a test holds against each other."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oracle.kernel_process import KernelProcess, why_not
from tests.oracle.real_files import directory_on_a_disk
from tests.oracle.smaps_pair import Opens, in_memory, on_a_disk
from tests.oracle.twins import Twins, twins_of, why_no_known_base
from tests.oracle.worlds import EngineWorld, KernelWorld, World, engine_limits


@pytest.fixture(scope="module")
def child() -> Iterator[KernelProcess]:
    """One child for all tests of a module."""
    if reason := why_not():
        pytest.skip(reason)
    with KernelProcess() as process:
        yield process


@pytest.fixture(scope="module")
def pinned_child(child: KernelProcess) -> KernelProcess:
    """The child on one CPU, so that its batches of pages are all in one place, to be drained."""
    os.sched_setaffinity(child.pid, {min(os.sched_getaffinity(child.pid))})
    try:
        child.call("drain")
    except OSError as error:
        pytest.skip(f"this kernel does not drain its batches of pages: {error}")
    return child


@pytest.fixture(scope="module")
def disk_files(
    pinned_child: KernelProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opens]:
    places = tmp_path_factory.getbasetemp(), Path("/var/tmp"), Path.cwd()
    with directory_on_a_disk(*places) as directory:
        yield on_a_disk(pinned_child, directory)


@pytest.fixture(scope="module")
def memory_files(pinned_child: KernelProcess) -> Opens:
    return in_memory(pinned_child)


@pytest.fixture
def kernel(child: KernelProcess) -> KernelWorld:
    return KernelWorld(child)


@pytest.fixture
def engine() -> EngineWorld:
    return EngineWorld(engine_limits())


@pytest.fixture(params=["engine", pytest.param("kernel", marks=pytest.mark.live)])
def world(request: pytest.FixtureRequest) -> World:
    """Each world in turn: what a test says of it holds for both."""
    world: World = request.getfixturevalue(request.param)
    return world


@pytest.fixture(scope="module")
def fixed_child() -> Iterator[KernelProcess]:
    """A child without randomization, so that mmap_base is known."""
    if reason := why_not() or why_no_known_base():
        pytest.skip(reason)
    try:
        with KernelProcess("fixed-layout") as process:
            yield process
    except ChildProcessError as error:
        pytest.skip(f"no process without randomization can be had here: {error}")


@pytest.fixture
def twins(fixed_child: KernelProcess) -> Iterator[Twins]:
    with twins_of(fixed_child) as both:
        both.plug()
        yield both
