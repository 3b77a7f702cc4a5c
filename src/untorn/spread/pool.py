"""Pool: the interface of whatever makes the calls."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Pool(Protocol):
    """Processes that make calls."""

    @property
    def returns_when_stopped(self) -> bool:
        """Whether calls under way at stop() return, as far as they came."""

    def submit(self, function: Callable[..., T], /, *arguments: Any) -> Future[T]:
        """Submit a call; result() returns its result. Future.cancel() takes it back."""

    def result(self, future: Future[T], name: str) -> T:
        """Return what a finished call returned, or raise what it raised.

        Args:
            future: The future of the call.
            name: The name of the call, for messages.

        Raises:
            OutOfReachError: The process that made the call died.
        """

    def stop(self) -> None:
        """Ask the processes that make calls to finish."""

    def close(self) -> None:
        """Drop calls that have not begun; after this nothing is made any more."""
