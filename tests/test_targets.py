"""The registry of targets: each has a side for bench and one for race."""

from typing import Any

import pytest

from untorn.targets import TARGETS, bench_target, race_target


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_has_both_sides_under_its_name(name: str) -> None:
    name = name.replace("KERNEL", "6.12").replace("RELEASE", "6.12")
    assert bench_target(name, print).name == race_target(name).name == name


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_says_what_it_reads_and_by_whom(name: str) -> None:
    name = name.replace("KERNEL", "6.12").replace("RELEASE", "6.12")
    assert bench_target(name, print).readers[0] == "none"
    assert set(race_target(name).readers) == {"maps", "smaps"}


@pytest.mark.parametrize("name", ["nowhere", "vm", "vm:", "engine:", "live:6.12", ""])
def test_an_unknown_target_is_refused_with_those_there_are(name: str) -> None:
    refusal = f"^no target {name}; targets: engine, engine:RELEASE, live, vm:KERNEL$"
    with pytest.raises(LookupError, match=refusal):
        bench_target(name, print)
    with pytest.raises(LookupError, match=refusal):
        race_target(name)


def test_the_name_of_a_kernel_may_be_a_path() -> None:
    assert race_target("vm:/a/b:c").name == "vm:/a/b:c"


@pytest.mark.parametrize("release", ["6.0", "7.4"])
def test_a_release_that_is_not_modelled_is_refused(release: str) -> None:
    for side in bench_target, race_target:
        make: Any = side
        with pytest.raises(ValueError, match="the engine models Linux"):
            make(f"engine:{release}", *([print] if side is bench_target else []))
