"""The search under weak memory finds what plain search finds, and what herd7 says."""

from __future__ import annotations

from random import Random

import pytest

from tests.check.memory.outcomes import programs
from tests.helpers.weak_programs import Outcome, Plain, Program, WeakProgram, random_program
from untorn.check.memory.choosing_dpor import ChoosingDpor

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


def test_strictly_it_finds_exactly_what_herd7_finds() -> None:
    judged = programs()
    assert len(judged) == 700
    for program, _, in_order in judged:
        assert outcomes(program, strict=True) == in_order, program


def test_it_finds_nothing_that_linux_forbids() -> None:
    for program, lkmm, _ in programs():
        assert outcomes(program) <= lkmm, program
