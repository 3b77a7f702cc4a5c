"""A cluster of Dask on this machine for tests: a scheduler and workers, each a process."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.helpers.tasks import PATIENCE, wait_until
from tests.helpers.this_machine import with_its_own_gil

LONG = 4 * PATIENCE
"""Seconds: a cluster is several processes that must start, perhaps beside other tests."""


class LocalCluster:
    """Two workers and their scheduler.

    Attributes:
        address: Address of the scheduler.
        scheduler: Its process.
        workers: The workers that were started.
        log: The output of all of them.
    """

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self._stack, self._directory = stack, directory
        self.log = directory / "log"
        where = directory / "scheduler.json"
        self.scheduler = self._start(
            "dask_scheduler", "--port", "0", "--scheduler-file", str(where)
        )
        wait_until(where.exists, "the scheduler", LONG)
        self.address: str = json.loads(where.read_text())["address"]
        self.workers = [self._worker() for _ in range(2)]
        registered = "Registered to"
        wait_until(lambda: self.log.read_text().count(registered) == 2, "the workers", LONG)

    def _worker(self) -> subprocess.Popen[bytes]:
        return self._start("dask_worker", self.address, "--no-nanny", "--nthreads", "1")

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", *arguments]
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [*command, "--host", "127.0.0.1"],
                # Workers explore in one thread of several; greenlets may need the GIL for that.
                env={**with_its_own_gil(), "DASK_TEMPORARY_DIRECTORY": str(self._directory)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process


@contextmanager
def local_cluster(directory: Path) -> Iterator[LocalCluster]:
    """Start a cluster; nothing of it is left afterwards."""
    with ExitStack() as stack:
        yield LocalCluster(stack, directory)
