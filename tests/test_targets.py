"""The registry of targets: each has a side for bench and one for race."""

from typing import Any

import pytest

from untorn.targets import TARGETS, bench_target, race_target


def named(side: str) -> list[str]:
    """Return a name of each target that has that side."""
    names = [name for name, target in TARGETS.items() if getattr(target, side)]
    return [name.replace("KERNEL", "6.12").replace("RELEASE", "6.12") for name in names]


@pytest.mark.parametrize("name", named("bench"))
def test_a_target_of_bench_has_its_name_and_runs_without_readers_first(name: str) -> None:
    target = bench_target(name, print)
    assert (target.name, target.readers[0]) == (name, "none")


@pytest.mark.parametrize("name", named("race"))
def test_a_target_of_race_has_its_name_and_says_what_it_reads(name: str) -> None:
    target = race_target(name)
    assert (target.name, set(target.readers)) == (name, {"maps", "smaps"})


@pytest.mark.parametrize("name", ["nowhere", "vm", "vm:", "engine:", "live:6.12", ""])
def test_an_unknown_target_is_refused_with_those_there_are(name: str) -> None:
    refusal = f"^no target {name}; targets: engine, engine:RELEASE, %slive, vm:KERNEL$"
    with pytest.raises(LookupError, match=refusal % "sim, sim:RELEASE, "):
        bench_target(name, print)
    with pytest.raises(LookupError, match=refusal % ""):
        race_target(name)


def test_the_name_of_a_kernel_may_be_a_path() -> None:
    assert race_target("vm:/a/b:c").name == "vm:/a/b:c"


@pytest.mark.parametrize("release", ["6.0", "7.4"])
def test_a_release_that_is_not_modelled_is_refused(release: str) -> None:
    for side in bench_target, race_target:
        make: Any = side
        with pytest.raises(ValueError, match="the engine models Linux"):
            make(f"engine:{release}", *([print] if side is bench_target else []))
