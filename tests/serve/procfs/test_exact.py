"""The maps files of a real process through the mount equal the kernel's, call by call."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.file_client import FileClient, Operation, Result
from tests.helpers.file_operations import OPERATIONS
from tests.helpers.mount_command import mount_command
from tests.helpers.procmap_client import answers_of, build_procmap_client
from tests.helpers.this_machine import asks
from tests.helpers.waiting_programs import FEW_VMAS, MANY_VMAS, waiting

pytestmark = pytest.mark.live
MAPS = "maps", "task/{pid}/maps"
SMAPS = "smaps", "smaps_rollup", "task/{pid}/smaps"
"""Others that map the same libraries change what these say, but no length."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("proc")
    with mount_command(directory, "--max-hold", "1000"):  # what is mapped may be large
        yield directory


def test_any_reads_return_what_the_kernel_returns(root: Path) -> None:
    with waiting(MANY_VMAS) as pid, FileClient() as client:

        @settings(max_examples=60)
        @given(st.sampled_from(MAPS + SMAPS), OPERATIONS)
        def check(file: str, operations: list[Operation]) -> None:
            paths = (place / str(pid) / file.format(pid=pid) for place in (Path("/proc"), root))
            real, told = (client.play(path, operations) for path in paths)
            assert list(map(length_of, told)) == list(map(length_of, real))
            assert told == real or file in SMAPS

        check()


def length_of(result: Result) -> Result:
    """Return the length of what was read; errors and positions unchanged."""
    return len(result) if isinstance(result, bytes) else result


@asks
def test_who_asks_gets_the_answers_of_the_kernel(root: Path, tmp_path: Path) -> None:
    client = build_procmap_client(tmp_path)
    with waiting(FEW_VMAS) as pid:
        told = answers_of(client, root / str(pid))
        assert told == answers_of(client, Path(f"/proc/{pid}"))
