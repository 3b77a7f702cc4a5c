"""Compare the engine with another kernel: the guest makes the calls, the engine is here."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from untorn.conform import served
from untorn.conform.answer import Answer
from untorn.conform.oracle import Calls, Facts, Start
from untorn.conform.outcome import ConformRun, Report
from untorn.conform.pair import Pair
from untorn.conform.run import conform_all
from untorn.conform.target import ConformOptions
from untorn.errors import OutOfReachError, UntornError
from untorn.maps.page import TASK_SIZE_5LEVEL
from untorn.processes.long_run import until_ending
from untorn.vm.guest import Guest, GuestDiedError, GuestJob
from untorn.vm.kernels import find_kernel
from untorn.vm.qemu import Machine, Mode, find_qemu
from untorn.vm.session import SET_UP, boot

_FIVE_LEVELS = ",la57"
SETTINGS = {
    "/proc/sys/vm/max_map_count": "1000",
    "/sys/kernel/mm/transparent_hugepage/enabled": "never",
}
"""Few VMAs, so that a map that is full of them is made quickly; and no transparent huge pages,
for which a read gives memory an anon_vma."""


class VmConformTarget:
    """A kernel in QEMU, booted for each run; see ConformTarget.

    Args:
        kernel: As find_kernel() takes it; with ",la57" at its end, on a machine whose page tables
            have five levels.
    """

    def __init__(self, kernel: str) -> None:
        self.name = f"vm:{kernel}"
        self._kernel = kernel.removesuffix(_FIVE_LEVELS)
        self._five_levels = kernel.endswith(_FIVE_LEVELS)

    def conform(self, options: ConformOptions, report: Report) -> ConformRun:
        """Boot a guest that is the oracle: see ConformTarget.

        Raises:
            GuestDiedError: The guest died before anything was compared, which says nothing about
                its kernel's calls; if it dies later, the run is broken off.
            OutOfReachError: The kernel cannot be booted, or cannot be the oracle.
            OSError: A file cannot be read, or the cache not written.
        """
        run = ConformRun()
        with until_ending(run):
            find_qemu()
            kernel = find_kernel(self._kernel, lambda what: None)
            machine = Machine(
                kernel.image, Mode.SAFE, cpus=1, parts=("conform",), five_levels=self._five_levels
            )
            guest, _ = boot(machine)
            with closing(guest):
                oracle = GuestOracle(guest, options.abi, SETTINGS)
                if self._five_levels and oracle.facts.task_size < TASK_SIZE_5LEVEL:
                    raise OutOfReachError("this kernel's page tables have four levels, not five")
                run += _until_it_dies(Pair(oracle), options, kernel.release, report)
        return run


def _until_it_dies(pair: Pair, options: ConformOptions, release: str, report: Report) -> ConformRun:
    """Make all calls, or those until the guest dies."""
    so_far = ConformRun()

    def keep(run: ConformRun) -> None:
        nonlocal so_far
        so_far = run
        report(run)

    try:
        return conform_all(pair, options, release, keep)
    except GuestDiedError as error:
        if not so_far.operations:
            raise
        so_far.broken_off = str(error)
        return so_far


class GuestOracle:
    """The kernel of a guest; see Oracle. Closing the guest ends all that it started.

    Args:
        guest: Does nothing else meanwhile.
        abi: A name of ABIS.
        settings: What to write before, by the path of the file.

    Raises:
        OutOfReachError: The kernel cannot be the oracle.
    """

    def __init__(self, guest: Guest, abi: str, settings: dict[str, str]) -> None:
        self._guest = guest
        self.facts = Facts(**self._ask(served.start, abi=abi, settings=settings))

    def renew(self) -> Start:
        """See Oracle."""
        begun = self._ask(served.renew)
        return Start(**begun | {"answer": Answer.from_json(begun["answer"])})

    def make(self, operations: Sequence[Calls], expected: Sequence[str]) -> tuple[int, Answer]:
        """See Oracle."""
        calls = [[(call.name, *call.arguments) for call in each] for each in operations]
        made = self._ask(served.make, operations=calls, expected=expected)
        answer = made["answer"]
        return made["agreed"], Answer() if answer is None else Answer.from_json(answer)

    def substitute(self, number: int, flags: int, where: int) -> dict[str, Any]:
        """See Oracle."""
        facts: dict[str, Any] = self._ask(
            served.substitute, number=number, flags=flags, where=where
        )
        return facts

    def close(self) -> None:
        """See Oracle."""

    def _ask(self, job: GuestJob, **arguments: Any) -> Any:
        try:
            return self._guest.call(job, SET_UP, **arguments)
        except OutOfReachError:
            raise
        except UntornError as error:
            raise OutOfReachError(str(error)) from error
