"""Lock order is checked in every test; soak tests take their length from the command line."""

from collections.abc import Iterator

import pytest

from untorn.locking import lockdep


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak-seconds", type=float, default=20.0, help="how long the soak tests run, all together"
    )


@pytest.fixture(autouse=True)
def _lockdep() -> Iterator[None]:
    with lockdep.enabled():
        yield
        lockdep.assert_nothing_held()
