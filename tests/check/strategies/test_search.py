"""The checker itself: its strategies agree, its schedules repeat, its counts are known."""

from collections.abc import Iterator
from random import Random

import pytest

from tests.helpers.small_programs import (
    Every,
    Operations,
    Outcome,
    SmallProgram,
    random_program,
)
from untorn.check.runtime.execution import Strategy
from untorn.check.strategies.branch import ALL, Branch, Request
from untorn.check.strategies.depth_first import EVERYTHING, Dfs, Rest
from untorn.check.strategies.replay import Replay
from untorn.check.strategies.sampling import Pct, Pos, RandomWalk
from untorn.check.strategies.source_dpor import SourceDpor

PROGRAMS = 300
MOST = 20_000
"""Schedules of a program beyond which plain search takes too long for a test."""


def test_source_dpor_finds_every_outcome_that_plain_search_finds() -> None:
    plain = reduced = 0
    for seed in range(PROGRAMS):
        operations = random_program(Random(seed))
        found = SmallProgram(operations).explore(Dfs(), MOST)
        if found is not None:
            outcomes, schedules = found
            ours = SmallProgram(operations).explore(SourceDpor())
            assert ours is not None
            assert ours[0] == outcomes, f"program {seed}: {operations}"
            plain, reduced = plain + schedules, reduced + ours[1]
    assert reduced * 10 < plain, "it is there to make fewer"


def test_branches_of_a_search_find_together_what_it_finds() -> None:
    several = 0
    for seed in range(PROGRAMS // 2):
        operations = random_program(Random(seed))
        whole = SmallProgram(operations).explore(SourceDpor())
        assert whole is not None
        first = SourceDpor(budget=0)
        together = SmallProgram(operations).explore(first)
        assert together is not None
        outcomes, root = together[0], first.root()
        while branches := root.branches():
            several += len(branches)
            for branch in branches:
                part = SourceDpor(branch)
                found = SmallProgram(operations).explore(part)
                assert found is not None
                outcomes |= found[0]
                root.ask(part.requests)
        assert outcomes == whole[0], f"program {seed}: {operations}"
    assert several > PROGRAMS // 2


def test_a_branch_that_is_cut_finds_together_with_its_own_branches_what_it_finds() -> None:
    cut = 0
    for seed in range(PROGRAMS // 2):
        operations = random_program(Random(seed))
        whole = SmallProgram(operations).explore(SourceDpor())
        assert whole is not None
        outcomes, requests, parts = in_branches(operations, ALL, Random(seed))
        assert outcomes == whole[0], f"program {seed}: {operations}"
        assert not requests, "nobody is further up"
        cut += parts > 1
    assert cut > PROGRAMS // 8


def in_branches(
    operations: Operations, branch: Branch, random: Random
) -> tuple[set[Outcome], list[Request], int]:
    """Explore a branch that may be cut at any of its schedules, and so on; count the parts."""
    part = SourceDpor(branch, budget=random.choice((0, 0, 30, 100)))
    found = SmallProgram(operations).explore(part)
    assert found is not None
    outcomes, root, parts = found[0], part.root(), 1
    while branches := root.branches():
        for each in branches:
            more, requests, made = in_branches(operations, each, random)
            outcomes |= more
            root.ask(requests)
            parts += made
    return outcomes, [*part.requests, *root.requests], parts


def test_a_bounded_search_leaves_out_what_is_alike_and_counts_it() -> None:
    every = played = 0
    for seed in range(PROGRAMS):
        operations = random_program(Random(seed))
        for bound in 1, 2, 3:
            plain = SmallProgram(operations).explore(Every(bound))
            assert SmallProgram(operations).explore(Dfs(bound)) == plain, f"{seed}: {operations}"
            if len(operations) == 2:
                every += len(schedules_of(operations, Every(bound)))
                played += len(schedules_of(operations, Dfs(bound)))
    assert played * 10 < every * 9, "it is there to make fewer"


def test_a_plain_search_that_is_cut_makes_the_same_schedules_in_the_same_order() -> None:
    for seed in range(60):
        operations = random_program(Random(seed))
        for bound in 1, 2:
            plain = schedules_of(operations, Every(bound))
            assert list(in_rests(operations, bound, EVERYTHING, Random(seed))) == plain
            assert in_counted_rests(operations, bound, EVERYTHING, Random(seed)) == len(plain)


def in_rests(
    operations: Operations, bound: int, rest: Rest, random: Random
) -> Iterator[tuple[int, ...]]:
    search = Every(bound, rest, budget=random.choice((0, 30, 100)))
    yield from schedules_of(operations, search)
    for each in search.rest().cut(3):
        yield from in_rests(operations, bound, each, random)


def in_counted_rests(operations: Operations, bound: int, rest: Rest, random: Random) -> int:
    search = Dfs(bound, rest, budget=random.choice((0, 30, 100)))
    count = explored(operations, search)
    return count + sum(
        in_counted_rests(operations, bound, each, random) for each in search.rest().cut(3)
    )


def schedules_of(operations: Operations, strategy: Dfs) -> list[tuple[int, ...]]:
    program = SmallProgram(operations)
    program.begin(strategy)
    found = []
    more = True
    while more:
        program.play()
        found.append(tuple(program.run.schedule))
        more = strategy.end()
    return found


def test_no_strategy_finds_an_outcome_that_plain_search_does_not() -> None:
    for seed in range(60):
        operations = random_program(Random(seed))
        found = SmallProgram(operations).explore(Dfs(), MOST)
        if found is None:
            continue
        for strategy in (Dfs(1), RandomWalk(50, seed), Pct(50, seed), Pos(50, seed)):
            ours = SmallProgram(operations).explore(strategy)
            assert ours is not None
            assert ours[0] <= found[0], f"program {seed}, {strategy}: {operations}"


def test_a_schedule_played_again_has_the_same_outcome() -> None:
    for seed in range(100):
        program = SmallProgram(random_program(Random(seed)))
        program.explore(RandomWalk(1, seed))
        outcome, schedule = program.play(), list(program.run.schedule)
        again = SmallProgram(program.operations)
        again.begin(Replay(dict(enumerate(schedule))))
        assert again.play() == outcome
        assert again.run.schedule == schedule


def explored(operations: Operations, strategy: Strategy) -> int:
    found = SmallProgram(operations).explore(strategy)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("operations", "plain", "reduced"),
    [
        ([[("load", 0)], [("load", 0)]], 2, 1),
        ([[("store", 0)], [("load", 0)]], 2, 2),
        ([[("store", 0)], [("store", 1)], [("store", 0)]], 6, 2),
        ([[("in", 0)], [("in", 0)]], 6, 1),
        ([[("in", 0)], [("reset", 0)]], 3, 3),
        ([[("lock", 0), ("lock", 1)], [("lock", 1), ("lock", 0)]], 4, 3),
        ([[("wait", 0)], [("store", 0), ("wake", 0)]], 3, 2),
    ],
)
def test_explored_counts_are_known(operations: Operations, plain: int, reduced: int) -> None:
    assert explored(operations, Dfs()) == plain
    assert explored(operations, SourceDpor()) == reduced


def test_a_bound_on_preemptions_leaves_schedules_out() -> None:
    operations = [[("store", 0), ("store", 0)], [("store", 0), ("store", 0)]]
    assert [explored(operations, Dfs(bound)) for bound in (0, 1, 2, None)] == [2, 4, 6, 6]
