"""Lock order is checked in every test; soak tests take their length from the command line."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from untorn.bench.environment import has_gil
from untorn.locking import lockdep, sync

settings.register_profile("untorn", deadline=None)  # no test depends on how fast a machine is
settings.load_profile("untorn")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak-seconds", type=float, default=20.0, help="how long the soak tests run, all together"
    )
    parser.addoption(
        "--mount-kills", type=int, default=2, help="how often the soak test of mounts kills one"
    )


def pytest_configure() -> None:
    """Stop ignoring SIGINT, which what a shell has in the background inherits: tests send it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _lockdep() -> Iterator[None]:
    sync.current().held_locks = ()  # a test that failed before may have left something
    with lockdep.enabled():
        yield
        lockdep.assert_nothing_held()


@pytest.fixture(autouse=True)
def _gil_stays_off() -> Iterator[None]:
    """Find the test during which an extension switches the GIL on; a warning says which it was."""
    before = has_gil()
    yield
    assert has_gil() == before
