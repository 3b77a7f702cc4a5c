"""The targets by name; `bench`, `race` and `conform` each use one side of them.

A target's module is imported only when the target is used: an engine needs no guest.
"""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from untorn.bench.target import BenchTarget
    from untorn.conform.target import ConformTarget
    from untorn.race.target import RaceTarget


class Target(NamedTuple):
    """A target: the factory of each of its sides, `module:name`; empty if it lacks that side.

    KERNEL or RELEASE in a name stands for an argument.
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
    """Return the side of a target for `bench`.

    Args:
        name: As in TARGETS, with a kernel for KERNEL, or a release of Linux for RELEASE.
        tell: Called before anything that takes a while.

    Raises:
        LookupError: There is no such target; the message lists the targets.
        ValueError: The engine does not model that release.
    """
    make, *arguments = _find(name, "bench")
    if name.startswith("vm:"):
        arguments.append(tell)
    made: BenchTarget = make(*arguments)
    return made


def race_target(name: str) -> "RaceTarget":
    """Return the side of a target for `race`; otherwise like bench_target()."""
    make, *arguments = _find(name, "race")
    made: RaceTarget = make(*arguments)
    return made


def conform_target(name: str) -> "ConformTarget":
    """Return the side of a target for `conform`; otherwise like bench_target()."""
    make, *arguments = _find(name, "conform")
    made: ConformTarget = make(*arguments)
    return made


def _find(name: str, side: str) -> list[Any]:
    """Return the factory of a target's side, with the part of the name after the colon, if any."""
    sides = {each: getattr(target, side) for each, target in TARGETS.items()}
    offered = {each: path for each, path in sides.items() if path}
    kind, _, argument = name.partition(":")
    for each, path in offered.items():
        if each == name or (argument and each.startswith(f"{kind}:")):
            return [resolve_name(path), *([argument] if argument else [])]
    raise LookupError(f"no target {name}; targets: {', '.join(offered)}")
