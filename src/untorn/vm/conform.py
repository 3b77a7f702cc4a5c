"""The engine held to another kernel: the run of target `live`, made in a guest."""

from contextlib import closing
from typing import Any

from untorn.conform.outcome import ConformRun
from untorn.conform.run import Report
from untorn.conform.target import ConformOptions
from untorn.processes.endings import endings_held
from untorn.vm import jobs
from untorn.vm.kernels import find_kernel
from untorn.vm.qemu import Machine, Mode, find_qemu
from untorn.vm.session import Session

_PARTS = "conform", "shrink"
_FIVE_LEVELS = ",la57"
PATIENCE = 1800.0
"""Seconds between two reports; there is none while the address space is filled with a crowd."""


class VmConformTarget:
    """A kernel in QEMU, booted for each run; see ConformTarget.

    Args:
        kernel: As find_kernel() takes it; with ",la57" at its end, on a machine with page tables of
            five levels.
    """

    def __init__(self, kernel: str) -> None:
        self.name, self.release = f"vm:{kernel}", ""
        self._kernel = kernel.removesuffix(_FIVE_LEVELS)
        self._five_levels = kernel.endswith(_FIVE_LEVELS)
        self._run = ConformRun()

    def conform(self, options: ConformOptions, report: Report) -> ConformRun:
        """Boot a guest and let it make the run: see ConformTarget.

        Raises:
            GuestDiedError: The guest died, which says nothing about the calls of its kernel.
            OutOfReachError: The kernel cannot be booted, or cannot be the oracle.
            OSError: A file cannot be read, or the cache not written.
        """
        self._run = ConformRun()
        try:
            with endings_held():
                self._run = ConformRun.from_json(self._conform(options, report))
        except KeyboardInterrupt:
            self._run.interrupted = True
        return self._run

    def _conform(self, options: ConformOptions, report: Report) -> dict[str, Any]:
        find_qemu()
        kernel = find_kernel(self._kernel, lambda what: None)
        self.release = kernel.release
        machine = Machine(kernel.image, Mode.SAFE, parts=_PARTS, five_levels=self._five_levels)

        def take(so_far: dict[str, Any]) -> None:
            self._run = ConformRun.from_json(so_far)
            report(self._run)

        with closing(Session(machine)) as session:
            made: dict[str, Any] = session.call(
                jobs.conform,
                PATIENCE,
                take,
                options=options.as_json(),
                five_levels=self._five_levels,
            )
            return made
