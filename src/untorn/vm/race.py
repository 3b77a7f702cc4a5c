"""Race tests in a guest, emulated so that a run follows from its seed and can be had again."""

import platform
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from untorn.processes.endings import endings_held
from untorn.race.plan import Plan
from untorn.race.racing import Effort
from untorn.race.run import Outcome
from untorn.vm.guest import request
from untorn.vm.kernels import find_kernel
from untorn.vm.qemu import Machine, Mode, qemu_version
from untorn.vm.race_job import GuestTarget
from untorn.vm.session import SET_UP, SLOWER, boot

PREFIX = "vm:"
"""What the names of these targets begin with."""


@dataclass(frozen=True, slots=True)
class GuestRace:
    """A plan for a guest.

    Attributes:
        target: `vm:` and a kernel as find_kernel() takes it.
        seconds: Of the guest's time, that each test races.
        options: Of Plan.of(), the seed apart.

    Raises:
        LookupError: There is no such file, reader or test, or the reader is to be disturbed.
    """

    target: str
    seconds: float
    options: dict[str, Any]

    def __post_init__(self) -> None:
        if self.options["disturb"]:
            raise LookupError(
                "--disturb leaves a reader no time where time is counted in instructions; "
                "try other seeds"
            )
        if self.target == PREFIX:
            raise LookupError("vm: wants a kernel, as in vm:6.12")
        Plan.of(GuestTarget(), effort=Effort(self.seconds), **self.options)

    def run(self, seed: int, write: Callable[[str], None], show: Callable[[str], None]) -> Outcome:
        """Boot a guest with the seed and run the tests; Ctrl-C or SIGTERM ends it.

        Args:
            seed: Of the guest and of random writers.
            write: Takes each line of KTAP.
            show: Is told what is being done.

        Raises:
            OutOfReachError: The kernel cannot be booted, or the guest died.
            OSError: A file cannot be read, or the cache not written.
        """
        try:
            with endings_held():
                return self._run(seed, write, show)
        except KeyboardInterrupt:
            return Outcome(interrupted=True)

    def _run(self, seed: int, write: Callable[[str], None], show: Callable[[str], None]) -> Outcome:
        qemu = qemu_version()
        kernel = find_kernel(self.target.removeprefix(PREFIX), show)
        asked = {"seconds": self.seconds, "seed": seed, **self.options}
        show(f"{self.target}: booting with seed {seed}")
        machine = Machine(kernel.image, Mode.REPLAY, seed=seed)
        guest, _ = boot(machine, [request("untorn.vm.race_job:race", **asked)])
        with guest:
            write(f"# {self.target}: Linux {kernel.release}, {kernel.origin}")
            write(f"# seed {seed} of {qemu}, with Python {platform.python_version()}")
            takers = {"line": write, "doing": show}

            def take(told: tuple[str, str]) -> None:
                takers[told[0]](told[1].replace(GuestTarget.name, self.target))

            counted = guest.answer(SET_UP + SLOWER * self.seconds, take)
        return Outcome(**counted | {"reasons": Counter(counted["reasons"])})
