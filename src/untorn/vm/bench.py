"""Benchmarks in a guest that runs another kernel: the same as target `live`, run there."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from untorn.bench.calibrate.measured import ROUNDS
from untorn.bench.calibrate.table import Calibration, assumed_vma_lock
from untorn.bench.command import EXEC
from untorn.bench.environment import Environment
from untorn.bench.live import LiveBenchTarget
from untorn.bench.lock_count import LockCount
from untorn.bench.sample import Sample
from untorn.bench.target import BenchOptions
from untorn.errors import OutOfReachError, UntornError
from untorn.vm import jobs
from untorn.vm.guest import GuestDiedError, GuestJob
from untorn.vm.kernels import Kernel, Tell, find_kernel
from untorn.vm.qemu import Machine, Mode, find_qemu
from untorn.vm.session import SET_UP, SLOWER, Session

_NEEDS_PACKAGES = ("psutil",)
"""Readers that need a package that guests do not have."""
CALIBRATION_MB = 1024
"""Memory of a guest that is calibrated, in MiB."""
CALIBRATION_TIMEOUT = 1800.0
"""Seconds of host time that it may take."""


class VmBenchTarget:
    """A kernel in QEMU; the first run boots it, close() ends it.

    Args:
        kernel: As find_kernel() takes it.
        tell: Called before anything that takes a while.
    """

    readers = tuple(name for name in LiveBenchTarget.readers if name not in _NEEDS_PACKAGES)
    variants: Mapping[str, tuple[str, ...]] = LiveBenchTarget.variants
    runs_commands = True
    in_guest = True
    simulated = False

    def __init__(self, kernel: str, tell: Tell) -> None:
        self.name = f"vm:{kernel}"
        self.environment: Environment | None = None
        self._kernel_name, self._tell = kernel, tell
        self._kernel: Kernel | None = None
        self._session: Session | None = None
        self._failure: OutOfReachError | OSError | None = None
        self._commands: tuple[str, ...] = ()

    def run(self, reader: str, options: BenchOptions, number: int, variant: str = "") -> Sample:
        """Measure once: see BenchTarget."""
        machine = Machine(
            self._image(),
            Mode.REPLAY if options.virtual_time else Mode.FAST,
            memory_mb=896 + 2 * options.mb + options.resident_mb,
            seed=options.seed,
            numpy=True,
            commands=self._commands_with(variant if reader == EXEC else ""),
        )
        slower = SLOWER if options.virtual_time else 1
        patience = SET_UP + slower * options.duration
        arguments = {"reader": reader, "variant": variant, "number": number}
        sample = self._call(machine, jobs.bench, patience, arguments | {"options": asdict(options)})
        return Sample.from_json(sample | {"target": self.name})

    def count_locks(self, reader: str, variant: str = "") -> LockCount:
        """Count in a separate guest, where tracing is safe: see BenchTarget."""
        machine = Machine(self._image(), Mode.SAFE, numpy=True)
        count = self._call(
            machine, jobs.count_locks, SET_UP, {"reader": reader, "variant": variant}
        )
        return LockCount(**count | {"target": self.name})

    def calibrate(self, *, virtual_time: bool) -> Calibration:
        """Measure what code costs there, which may take some minutes; raises as run().

        One round is enough in virtual time, as all rounds agree.
        """
        mode = Mode.REPLAY if virtual_time else Mode.FAST
        machine = Machine(self._image(), mode, memory_mb=CALIBRATION_MB)
        patience = SET_UP + CALIBRATION_TIMEOUT
        arguments = {"vma_lock": assumed_vma_lock(), "rounds": 1 if virtual_time else ROUNDS}
        described = self._call(machine, jobs.calibrate, patience, arguments)
        assert self._session is not None
        return Calibration.of(described, self._session.hypervisor())

    def close(self) -> None:
        """End the guest; the next run boots another."""
        session, self._session = self._session, None
        if session is None:
            return
        session.close()
        if self.environment is not None and not self.environment.guest_of:
            self.environment = replace(self.environment, guest_of=session.hypervisor())

    def _commands_with(self, command: str) -> tuple[str, ...]:
        """Return all commands so far, so that one guest has the programs of all of them."""
        if command and command not in self._commands:
            self._commands += (command,)
        return self._commands

    def _image(self) -> Path:
        """Return the kernel's image; look for it only once, found or not."""
        if self._failure is not None:
            raise self._failure
        if self._kernel is None:
            try:
                find_qemu()
                self._kernel = find_kernel(self._kernel_name, self._tell)
            except (OutOfReachError, OSError) as error:
                self._failure = error
                raise
        return self._kernel.image

    def _call(
        self, machine: Machine, job: GuestJob, patience: float, arguments: dict[str, Any]
    ) -> Any:
        """Call a job in a guest on that machine; a guest that died is not booted again."""
        try:
            return self._up(machine).call(job, patience, **arguments)
        except GuestDiedError as error:
            self._failure = error
            raise
        except UntornError as error:  # the fault of one call; the others can do without it
            raise OutOfReachError(str(error)) from error

    def _up(self, machine: Machine) -> Session:
        if self._session is None or self._session.machine != machine:
            self.close()
            self._session = Session(machine)
            guest = self._session.call(jobs.describe, SET_UP)
            self.environment = self.environment or Environment(**guest)
        return self._session
