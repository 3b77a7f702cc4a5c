"""Cluster: the workers of a Dask scheduler make the calls.

A worker that dies loses the calls that it was making; the scheduler repeats them elsewhere. The
workers must run exactly our code, to the byte: each call checks that before it is made.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

import distributed
from distributed.comm.addressing import resolve_address
from distributed.scheduler import KilledWorker

from untorn.errors import OutOfReachError
from untorn.processes import told
from untorn.sources import digest

T = TypeVar("T")
_TIMEOUT = 30.0
"""Seconds that a scheduler has to answer, and to have a worker."""
_LOGGERS = "distributed", "distributed.client", "tornado.application"
"""Those to which the library gives a level of their own."""
_one_at_a_time = threading.Lock()
"""A call may change global state of its process, as an exploration does."""


class Cluster:
    """See Pool."""

    returns_when_stopped = False

    def __init__(self, address: str) -> None:
        """Connect to a scheduler.

        Args:
            address: Address of the scheduler, for example tcp://host:8786.

        Raises:
            OutOfReachError: The scheduler does not answer, or has no worker.
        """
        # result() reports a lost connection; we silence what the library says of it.
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._address = address
        try:
            resolve_address(address)  # a Client with a wrong address is noisy when it is collected
            with warnings.catch_warnings(action="ignore"):  # about versions: see _call()
                self._client = distributed.Client(address, timeout=_TIMEOUT, set_as_default=False)
        except ValueError as error:
            raise OutOfReachError(f"{address} is no address of a scheduler: {error}") from error
        except OSError as error:
            raise OutOfReachError(f"there is no scheduler at {address}") from error
        try:
            self._client.wait_for_workers(1, _TIMEOUT)
        except TimeoutError as error:
            self._client.close()
            raise OutOfReachError(f"the scheduler at {address} has no worker") from error
        self._executor = self._client.get_executor(pure=False)

    def submit(self, function: Callable[..., T], /, *arguments: Any) -> Future[T]:
        """See Pool."""
        future: Future[T] = self._executor.submit(_call, digest(), function, arguments)
        return future

    def result(self, future: Future[T], name: str) -> T:
        """See Pool."""
        try:
            return future.result()
        except KilledWorker as error:
            raise OutOfReachError(
                f"{name}: {error.allowed_failures + 1} workers died while they made it"
            ) from error
        except CancelledError as error:
            raise OutOfReachError(f"the scheduler at {self._address} is gone") from error

    def stop(self) -> None:
        """Cancel everything that is not done."""
        self._executor.shutdown(wait=False)

    def close(self) -> None:
        """See Pool. A call that is being made ends when it next checks whether to stop."""
        self.stop()
        self._client.close()


def _call(expected: str, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    """Make a call in a worker."""
    worker = distributed.get_worker()
    if digest() != expected:
        raise OutOfReachError(f"the worker {worker.address} has another untorn, or another Python")
    key = worker.get_current_task()

    def is_cancelled() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    with _one_at_a_time:
        told.tell_by(is_cancelled)
        return function(*arguments)
