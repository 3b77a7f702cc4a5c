"""The search under weak memory finds the same as plain search, and as herd7."""

from __future__ import annotations

from random import Random

import pytest

from tests.check.memory.outcomes import programs
from tests.helpers import small_programs
from tests.helpers.weak_programs import (
    Outcome,
    Plain,
    Program,
    WeakProgram,
    random_program,
    weakly,
)
from untorn.check.memory.choosing_dpor import ChoosingDpor
from untorn.check.strategies.branch import ALL, Branch, Request

PROGRAMS = 60
MOST = 2_000
"""Schedules of a program beyond which plain search takes too long for a test."""


def outcomes(program: Program, *, strict: bool = False) -> set[Outcome]:
    found = WeakProgram(program, strict).explore(ChoosingDpor())
    assert found is not None
    return found[0]


@pytest.mark.parametrize("strict", [False, True])
def test_it_finds_every_outcome_that_plain_search_finds(strict: bool) -> None:
    plain = reduced = 0
    for seed in range(PROGRAMS):
        program = random_program(Random(seed))
        found = WeakProgram(program, strict).explore(Plain(), MOST)
        if found is not None:
            ours = WeakProgram(program, strict).explore(ChoosingDpor())
            assert ours is not None
            assert ours[0] == found[0], f"program {seed}: {program}"
            plain, reduced = plain + found[1], reduced + ours[1]
    assert reduced * 10 < plain, "it is there to make fewer"


def test_with_locks_counts_and_wake_ups_it_finds_every_outcome_too() -> None:
    plain = reduced = 0
    for seed in range(2 * PROGRAMS):
        operations = small_programs.random_program(Random(seed))
        with weakly(operations) as program:
            found = program.explore(Plain(), MOST)
        if found is not None:
            with weakly(operations) as program:
                ours = program.explore(ChoosingDpor())
            assert ours is not None
            assert ours[0] == found[0], f"program {seed}: {operations}"
            plain, reduced = plain + found[1], reduced + ours[1]
    assert reduced * 10 < plain, "it is there to make fewer"


def test_branches_of_a_search_find_together_what_it_finds() -> None:
    cut = 0
    for seed in range(2 * PROGRAMS):
        program = random_program(Random(seed))
        found, requests, parts = in_branches(program, ALL, Random(seed))
        assert found == outcomes(program), f"program {seed}: {program}"
        assert not requests, "nobody is further up"
        cut += parts > 1
    assert cut > PROGRAMS // 2


def in_branches(
    program: Program, branch: Branch, random: Random
) -> tuple[set[Outcome], list[Request], int]:
    """Explore a branch that may be cut at any of its schedules, and so on; count the parts."""
    part = ChoosingDpor(branch, budget=random.choice((0, 0, 30, 100)))
    explored = WeakProgram(program).explore(part)
    assert explored is not None
    found, root, parts = explored[0], part.root(), 1
    while branches := root.branches():
        for each in branches:
            more, requests, made = in_branches(program, each, random)
            found |= more
            root.ask(requests)
            parts += made
    return found, [*part.requests, *root.requests], parts


def test_strictly_it_finds_exactly_what_herd7_finds() -> None:
    judged = programs()
    assert len(judged) == 700
    for program, _, in_order in judged:
        assert outcomes(program, strict=True) == in_order, program


def test_it_finds_nothing_that_linux_forbids() -> None:
    for program, lkmm, _ in programs():
        assert outcomes(program) <= lkmm, program
