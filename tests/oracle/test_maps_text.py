"""The same calls give the same maps, to the byte, in the engine and in the running kernel."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.oracle.kernel_process import KernelProcess
from tests.oracle.real_files import vm_file
from tests.oracle.scripts import Call, scripts
from tests.oracle.worlds import EngineWorld, KernelWorld, engine_limits, masked, window_bases

pytestmark = pytest.mark.live


class Pair:
    """Both worlds over the same window, with the same files open."""

    def __init__(self, child: KernelProcess, files: list[tuple[Path, int]]) -> None:
        base = next(window_bases)
        self.engine = EngineWorld(engine_limits(), base)
        self.kernel = KernelWorld(child, base)
        self.engine_fds = [self.engine.adopt(vm_file(*file)) for file in files]

    def clear(self) -> None:
        """Unmap what can be unmapped, so that the child's maps stay short."""
        for line in self.kernel.maps():
            start, end = (int(text, 16) for text in line.split()[0].split(b"-"))
            with suppress(PermissionError):  # sealed
                self.kernel.munmap(start, end - start)

    def maps(self) -> tuple[list[bytes], list[bytes]]:
        return masked(self.engine.maps()), masked(self.kernel.maps())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, int]]:
    """Two opens of one inode, one of it that cannot write, and another file."""
    directory = tmp_path_factory.mktemp("files")
    one, other = directory / "one", directory / "other file"
    for path in one, other:
        path.write_bytes(bytes(4096))
    return [(one, os.O_RDWR), (one, os.O_RDWR), (one, os.O_RDONLY), (other, os.O_RDWR)]


@pytest.fixture(scope="module")
def child_fds(child: KernelProcess, files: list[tuple[Path, int]]) -> list[int]:
    return [child.call("open", str(path), flags) for path, flags in files]


@settings(
    max_examples=800,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=scripts)
def test_maps_are_the_same_after_every_call_of_any_script(
    child: KernelProcess, files: list[tuple[Path, int]], child_fds: list[int], script: list[Call]
) -> None:
    pair = Pair(child, files)
    try:
        for number, call in enumerate(script):
            engine = call.make(pair.engine, pair.engine_fds)
            kernel = call.make(pair.kernel, child_fds)
            assert engine == kernel, f"step {number}, {call}"
            engine_maps, kernel_maps = pair.maps()
            assert engine_maps == kernel_maps, f"after step {number}, {call}"
    finally:
        pair.clear()
