"""The child under test, and the two worlds that a test holds against each other."""

from collections.abc import Iterator

import pytest
from kernel_process import KernelProcess, why_not
from worlds import EngineWorld, KernelWorld, World, engine_limits


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
