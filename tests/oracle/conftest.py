"""The child under test, and the two worlds that a test holds against each other."""

from collections.abc import Iterator

import pytest
from kernel_process import KernelProcess, why_not
from worlds import CAP_IPC_LOCK, CAP_SYS_RAWIO, EngineWorld, KernelWorld, World, memory_pages

from untorn.mm.limits import RLIM_INFINITY, Limits


@pytest.fixture(scope="module")
def child() -> Iterator[KernelProcess]:
    """One child for all tests of a module."""
    if reason := why_not():
        pytest.skip(reason)
    with KernelProcess() as process:
        yield process


@pytest.fixture
def kernel(child: KernelProcess) -> KernelWorld:
    return KernelWorld(child)


@pytest.fixture
def engine() -> EngineWorld:
    return EngineWorld(engine_limits())


@pytest.fixture(params=["engine", pytest.param("kernel", marks=pytest.mark.live)])
def world(request: pytest.FixtureRequest) -> World:
    """Each world in turn: what a test says of it holds for both."""
    return request.getfixturevalue(request.param)


def engine_limits(child: KernelProcess | None = None) -> Limits:
    """Return the limits of this machine, and the rights of root or of a child."""
    return Limits(
        rlimit_memlock=RLIM_INFINITY,
        cap_ipc_lock=child is None or child.has_capability(CAP_IPC_LOCK),
        cap_sys_rawio=child is None or child.has_capability(CAP_SYS_RAWIO),
        totalram_pages=memory_pages(),
    )
