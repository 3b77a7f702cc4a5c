"""The targets by name, of which `bench`, `race` and `conform` each know one side.

A module is imported when its target is asked for, and not before: an engine needs no guest.
"""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from untorn.bench.target import BenchTarget
    from untorn.conform.target import ConformTarget
    from untorn.race.target import RaceTarget


class Target(NamedTuple):
    """A target: what makes each of its sides, `module:name`; empty if it has not got that one.

    Those of a target in a guest take the name of a kernel.
    """

    bench: str
    race: str
    conform: str


TARGETS = {
    "engine": Target(
        "untorn.bench.engine:EngineBenchTarget", "untorn.race.engine:EngineRaceTarget", ""
    ),
    "live": Target(
        "untorn.bench.live:LiveBenchTarget",
        "untorn.race.live:LiveRaceTarget",
        "untorn.conform.live:LiveConformTarget",
    ),
    "vm:KERNEL": Target(
        "untorn.vm.bench:VmBenchTarget",
        "untorn.vm.race:VmRaceTarget",
        "untorn.vm.conform:VmConformTarget",
    ),
}


def bench_target(name: str, tell: Callable[[str], None]) -> "BenchTarget":
    """Return the side of a target that `bench` knows.

    Args:
        name: As in TARGETS, with a kernel for KERNEL.
        tell: Is told what takes a while before a guest can run.

    Raises:
        LookupError: There is no such target; the message names those there are.
    """
    make, kernel = _find(name, "bench")
    made: BenchTarget = make(*((kernel, tell) if kernel else ()))
    return made


def race_target(name: str) -> "RaceTarget":
    """Return the side of a target that `race` knows; otherwise as bench_target()."""
    make, kernel = _find(name, "race")
    made: RaceTarget = make(*((kernel,) if kernel else ()))
    return made


def conform_target(name: str) -> "ConformTarget":
    """Return the side of a target that `conform` knows; otherwise as bench_target()."""
    make, kernel = _find(name, "conform")
    made: ConformTarget = make(*((kernel,) if kernel else ()))
    return made


def _find(name: str, side: str) -> tuple[Callable[..., Any], str]:
    """Return what makes that side of a target, and the kernel in its name, or nothing."""
    sides = {each: getattr(target, side) for each, target in TARGETS.items()}
    offered = {each: path for each, path in sides.items() if path}
    kind, _, kernel = name.partition(":")
    path = offered.get(f"{kind}:KERNEL" if kernel else name)
    if path is None:
        raise LookupError(f"no target {name}; targets: {', '.join(offered)}")
    return resolve_name(path), kernel
