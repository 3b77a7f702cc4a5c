"""One tree, and processes to watch in it, for all tests here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.agents import Watched, require_namespaces, served, watched


@pytest.fixture(scope="package")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A /proc of ours. Its texts are as new as the kernel's, and are the kernel's own."""
    require_namespaces()
    directory = tmp_path_factory.mktemp("agents") / "proc"
    directory.mkdir()
    with served(directory, "--max-age", "0.001", "--max-hold", "1000", "--cpu-share", "1"):
        yield directory


@pytest.fixture(scope="package")
def still(tree: Path) -> Iterator[Watched]:
    """Idle processes."""
    with watched() as processes:
        yield processes
