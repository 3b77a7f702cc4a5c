"""Pool: who makes the calls."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Pool(Protocol):
    """Processes that make calls."""

    @property
    def returns_when_stopped(self) -> bool:
        """Whether what is being done when stop() is called comes back, as far as it came."""

    def submit(self, function: Callable[..., T], /, *arguments: Any) -> Future[T]:
        """Hand a call out; ask result() what came of it. Future.cancel() takes it back."""

    def result(self, future: Future[T], name: str) -> T:
        """Return what a call that is done returned, or raise what it raised.

        Args:
            future: Of it.
            name: What it is called when somebody must be told.

        Raises:
            OutOfReachError: Who made it died.
        """

    def stop(self) -> None:
        """Tell who makes calls that they are to come to an end."""

    def close(self) -> None:
        """Drop what was not begun; afterwards nobody makes any of it."""
