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

    Those that are called KERNEL or RELEASE here take what stands in its place.
    """

    bench: str
    race: str
    conform: str


_SIM = Target("untorn.bench.sim:SimBenchTarget", "", "")
_ENGINE = Target("untorn.bench.engine:EngineBenchTarget", "untorn.race.engine:EngineRaceTarget", "")
TARGETS = {
    "engine": _ENGINE,
    "engine:RELEASE": _ENGINE,
    "sim": _SIM,
    "sim:RELEASE": _SIM,
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
        name: As in TARGETS, with a kernel for KERNEL, a release of Linux for RELEASE.
        tell: Is told what takes a while before a guest can run.

    Raises:
        LookupError: There is no such target; the message names those there are.
        ValueError: The engine does not model that release.
    """
    make, *arguments = _find(name, "bench")
    if name.startswith("vm:"):
        arguments.append(tell)
    made: BenchTarget = make(*arguments)
    return made


def race_target(name: str) -> "RaceTarget":
    """Return the side of a target that `race` knows; otherwise as bench_target()."""
    make, *arguments = _find(name, "race")
    made: RaceTarget = make(*arguments)
    return made


def conform_target(name: str) -> "ConformTarget":
    """Return the side of a target that `conform` knows; otherwise as bench_target()."""
    make, *arguments = _find(name, "conform")
    made: ConformTarget = make(*arguments)
    return made


def _find(name: str, side: str) -> list[Any]:
    """Return what makes that side of a target, and what its name has after the colon, if it has."""
    sides = {each: getattr(target, side) for each, target in TARGETS.items()}
    offered = {each: path for each, path in sides.items() if path}
    kind, _, argument = name.partition(":")
    for each, path in offered.items():
        if each == name or (argument and each.startswith(f"{kind}:")):
            return [resolve_name(path), *([argument] if argument else [])]
    raise LookupError(f"no target {name}; targets: {', '.join(offered)}")
