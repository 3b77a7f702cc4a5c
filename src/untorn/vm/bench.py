"""Target `vm:KERNEL`: what target `live` does, in a guest that runs another kernel."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from untorn.bench.environment import Environment
from untorn.bench.live import LiveTarget
from untorn.bench.lock_count import LockCount
from untorn.bench.sample import Sample
from untorn.bench.target import BenchOptions
from untorn.errors import OutOfReach
from untorn.vm.guest import GuestDied
from untorn.vm.kernels import find_kernel
from untorn.vm.qemu import Machine, Mode
from untorn.vm.session import Session

PATIENCE = 120.0
"""Seconds that a run may take beyond those that it measures; on an idle machine it takes 8."""
_IN_GUEST = "untorn.vm.bench_job"
_NEEDS_PACKAGES = ("psutil",)
"""Readers that a guest has not got."""


class VmTarget:
    """A kernel in QEMU, booted by the first run, and ended by close().

    Args:
        kernel: As find_kernel() takes it.
    """

    readers = tuple(name for name in LiveTarget.readers if name not in _NEEDS_PACKAGES)
    variants: Mapping[str, tuple[str, ...]] = LiveTarget.variants
    runs_commands = False
    in_guest = True

    def __init__(self, kernel: str) -> None:
        self.name = f"vm:{kernel}"
        self.environment: Environment | None = None
        self._kernel = kernel
        self._session: Session | None = None
        self._failure: OutOfReach | None = None

    def run(self, reader: str, options: BenchOptions, number: int, variant: str = "") -> Sample:
        """Measure once: see Target."""
        sample = self._call(
            Mode.FAST,
            768 + 2 * options.mb,
            "run",
            options.duration + PATIENCE,
            reader=reader,
            variant=variant,
            number=number,
            options=asdict(options),
        )
        return Sample.from_json(sample | {"target": self.name})

    def count_locks(self, reader: str, variant: str = "") -> LockCount:
        """Count in a guest of its own, where tracing is safe: see Target."""
        count = self._call(Mode.SAFE, 1024, "count_locks", PATIENCE, reader=reader, variant=variant)
        return LockCount(**count | {"target": self.name})

    def close(self) -> None:
        """End the guest; the next run boots another."""
        session, self._session = self._session, None
        if session is None:
            return
        session.close()
        if self.environment is not None:
            self.environment = replace(self.environment, guest_of=session.hypervisor())

    def _call(
        self, mode: Mode, memory_mb: int, function: str, patience: float, **arguments: Any
    ) -> Any:
        """Let a guest of that kind do something; what made one fail once, does so again."""
        if self._failure is not None:
            raise self._failure
        try:
            session = self._up(mode, memory_mb)
            return session.call(f"{_IN_GUEST}:{function}", patience, **arguments)
        except OutOfReach as error:
            if self._session is None or isinstance(error, GuestDied):
                self._failure = error
            raise

    def _up(self, mode: Mode, memory_mb: int) -> Session:
        if self._session is None or self._session.machine.mode is not mode:
            self.close()
            kernel = find_kernel(self._kernel, _tell)
            self._session = Session(Machine(kernel.image, mode, memory_mb))
            guest = self._session.call(f"{_IN_GUEST}:describe", PATIENCE)
            self.environment = Environment(**guest)
        return self._session


def _tell(what: str) -> None:
    if sys.stderr.isatty():
        print(what, file=sys.stderr)
