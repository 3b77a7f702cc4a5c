"""Generated writers: every sequence of calls that each change a map, and no other."""

from itertools import product

import pytest

from untorn.check.scenarios import SCENARIOS, Scenarios
from untorn.check.scenarios import programs as generated
from untorn.check.scenarios.programs import (
    CALLS,
    LAYOUTS,
    SMALL_CALLS,
    SMALL_LAYOUT,
    Calls,
    programs,
)
from untorn.check.scenarios.scenario import Layout, Scenario, lay_out
from untorn.check.stage.pages import Pages
from untorn.check.stage.stage import Stage


def each_changes_a_map(layout: Layout, calls: Calls, names: tuple[str, ...]) -> bool:
    stage = Stage()
    processes = stage.process, stage.other()
    lay_out(stage, layout)
    return all(changes(processes, calls, name) for name in names)


def changes(processes: tuple[Pages, Pages], calls: Calls, name: str) -> bool:
    before = [rows(process) for process in processes]
    try:
        calls[name](*processes)
    except OSError:
        return False
    return [rows(process) for process in processes] != before


def rows(process: Pages) -> list[tuple[int, int, int]]:
    return [(start, end, vma.vm_flags) for start, end, vma in process.mm.mm_mt]


@pytest.mark.parametrize("shape", LAYOUTS)
def test_all_of_two_calls_that_change_the_map_are_there(shape: str) -> None:
    layout = LAYOUTS[shape]
    wanted = [p for p in product(CALLS, repeat=2) if each_changes_a_map(layout, CALLS, p)]
    assert list(programs(layout, CALLS, 2)) == wanted


def test_three_calls_of_two_processes_end_with_an_exit_if_there_is_one() -> None:
    wanted = [
        names
        for names in product(SMALL_CALLS, repeat=3)
        if "exit" not in names[:-1] and each_changes_a_map(SMALL_LAYOUT, SMALL_CALLS, names)
    ]
    assert list(programs(SMALL_LAYOUT, SMALL_CALLS, 3)) == wanted


def test_programs_of_one_to_three_calls_over_every_layout_are_scenarios() -> None:
    names = set(SCENARIOS)
    for shape, layout in LAYOUTS.items():
        for length in 1, 2:
            group = f"deep/{length}/{shape}" if length > 1 else shape
            assert names >= {f"{group}/{'+'.join(p)}" for p in programs(layout, CALLS, length)}
    assert len(SCENARIOS.named("deep/3")) == 2106


def test_only_who_asks_for_a_deep_one_waits_until_all_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = Scenario("deep/2/A/large", "", lambda stage: None, deep=True)
    asked: list[Scenario] = []

    def deep() -> list[Scenario]:
        asked.append(large)
        return asked

    monkeypatch.setattr(generated, "deep", deep)
    scenarios = Scenarios([generated.SCENARIOS])
    assert scenarios.named("A/munmap-0") == ["A/munmap-0"]
    assert scenarios["A/munmap-0"].name in scenarios.default()
    assert "deep" in scenarios.groups()
    assert asked == []
    assert scenarios.named("deep/2/A") == [large.name]
    assert scenarios[large.name] is large
    assert asked == [large]
