"""The outcomes of 700 random programs under Linux's memory model, from herd7 7.56.3: herd7.txt.

A line is a program, with bars between its threads, and its outcomes: for each thread the values
that its loads and exchanges returned. Rxa is a load of x with acquire, Wx1r a store of 1 with
release, Xx1 an exchange. All places begin at 0. ~ marks outcomes that no execution has whose
program order, reads-from and coherence make no circle: a checker of schedules cannot show them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.helpers.weak_programs import Operation, Outcome, Program

_KINDS = {"R": "load", "W": "store", "X": "xchg"}
_ORDERS = {"": "relaxed", "a": "acquire", "r": "release", "d": "dereference", "f": "found"}


class Judged(NamedTuple):
    """A program with its outcomes."""

    program: Program
    lkmm: set[Outcome]
    in_order: set[Outcome]


def programs() -> list[Judged]:
    """Return all of them."""
    text = Path(__file__).with_name("herd7.txt").read_text()
    return [_judged(line) for line in text.splitlines()]


def _judged(line: str) -> Judged:
    program, _, outcomes = line.partition(" : ")
    told = outcomes.split()
    return Judged(
        parsed(program),
        {_outcome(each.removeprefix("~")) for each in told},
        {_outcome(each) for each in told if not each.startswith("~")},
    )


def parsed(program: str) -> Program:
    """Return a program."""
    return [[_operation(each) for each in thread.split()] for thread in program.split(" | ")]


def _operation(text: str) -> Operation:
    if text[0] not in _KINDS:
        return "fence", text
    kind, place, rest = _KINDS[text[0]], text[1], text[2:]
    if kind == "load":
        return kind, place, _ORDERS[rest]
    return kind, place, _ORDERS[rest[1:]], int(rest[0])


def _outcome(text: str) -> Outcome:
    return tuple(tuple(map(int, values)) for values in text.split("/"))
