"""The targets by name, of which `bench` and `race` each know one side.

A module is imported when its target is asked for, and not before: an engine needs no guest.
"""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from untorn.bench.target import BenchTarget
    from untorn.race.target import RaceTarget


class Target(NamedTuple):
    """A target: what makes each of its sides, `module:name`.

    Those of a target in a guest take the name of a kernel.
    """

    bench: str
    race: str


TARGETS = {
    "engine": Target(
        "untorn.bench.engine:EngineBenchTarget", "untorn.race.engine:EngineRaceTarget"
    ),
    "live": Target("untorn.bench.live:LiveBenchTarget", "untorn.race.live:LiveRaceTarget"),
    "vm:KERNEL": Target("untorn.vm.bench:VmBenchTarget", "untorn.vm.race:VmRaceTarget"),
}


def bench_target(name: str, tell: Callable[[str], None]) -> "BenchTarget":
    """Return the side of a target that `bench` knows.

    Args:
        name: As in TARGETS, with a kernel for KERNEL.
        tell: Is told what takes a while before a guest can run.

    Raises:
        LookupError: There is no such target; the message names those there are.
    """
    target, kernel = _find(name)
    made: BenchTarget = resolve_name(target.bench)(*((kernel, tell) if kernel else ()))
    return made


def race_target(name: str) -> "RaceTarget":
    """Return the side of a target that `race` knows; otherwise as bench_target()."""
    target, kernel = _find(name)
    made: RaceTarget = resolve_name(target.race)(*((kernel,) if kernel else ()))
    return made


def _find(name: str) -> tuple[Target, str]:
    """Return the target of a name, and the kernel in it, or nothing."""
    kind, _, kernel = name.partition(":")
    target = TARGETS.get(f"{kind}:KERNEL" if kernel else name)
    if target is None:
        raise LookupError(f"no target {name}; targets: {', '.join(TARGETS)}")
    return target, kernel
