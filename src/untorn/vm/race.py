"""Race tests in a guest, emulated so that a run follows from its seed and can be repeated."""

import platform
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from untorn.processes.long_run import Report, until_ending
from untorn.race.live import LiveRaceTarget
from untorn.race.tally import RaceResult
from untorn.race.target import RaceOptions, WriteLine
from untorn.vm import jobs
from untorn.vm.guest import request
from untorn.vm.kernels import find_kernel
from untorn.vm.qemu import Machine, Mode, qemu_version
from untorn.vm.session import SET_UP, SLOWER, boot

_IN_GUEST = "vm:KERNEL"
"""What every guest calls the target: what happens in it must not depend on the real name."""


class VmRaceTarget:
    """A kernel in QEMU, booted anew for each run.

    Args:
        kernel: As find_kernel() takes it.
    """

    readers: Mapping[str, tuple[str, ...]] = LiveRaceTarget.readers

    def __init__(self, kernel: str) -> None:
        self.name, self._kernel = f"vm:{kernel}", kernel

    def disturbance(self) -> str:
        """Refuse a disturbance: see RaceTarget."""
        raise LookupError(
            "--disturb leaves a reader no time if time is counted in instructions; try other seeds"
        )

    def race(self, options: RaceOptions, write: WriteLine, report: Report) -> RaceResult:
        """Boot a guest with the seed and run the tests: see RaceTarget.

        Raises:
            OutOfReachError: The kernel cannot be booted, or the guest died.
            OSError: A file cannot be read, or the cache not written.
        """
        result = RaceResult()
        with until_ending(result):
            result.add(self._race(options, write, report))
        return result

    def _race(self, options: RaceOptions, write: WriteLine, report: Report) -> RaceResult:
        qemu = qemu_version()
        kernel = find_kernel(self._kernel, lambda what: report(what, 0, 0))
        asked = request(jobs.race, name=_IN_GUEST, options=options.as_json())
        report(f"{self.name}: booting with seed {options.seed}", 0, 0)
        guest, _ = boot(Machine(kernel.image, Mode.REPLAY, seed=options.seed), [asked])
        with closing(guest):
            write(f"# {self.name}: Linux {kernel.release}, {kernel.origin}")
            write(f"# seed {options.seed} of {qemu}, with Python {platform.python_version()}")

            def take(told: tuple[str, Any]) -> None:
                kind, what = told
                if kind == "line":
                    write(self._named(what))
                else:
                    report(self._named(what[0]), *what[1:])

            counted = guest.answer(SET_UP + SLOWER * options.effort.seconds, take)
        return RaceResult(**counted | {"reasons": Counter(counted["reasons"])})

    def _named(self, text: str) -> str:
        return text.replace(_IN_GUEST, self.name)
