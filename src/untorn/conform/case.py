"""A case: calls, and the expected outcome of each."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from untorn.conform.answer import Answer
from untorn.conform.expression import Names, value_of
from untorn.conform.operation import Operation
from untorn.conform.pair import Expectation
from untorn.conform.script_text import format_result, operation_of
from untorn.conform.shown import Run, runs_from
from untorn.releases.release import Change, Release


@dataclass(frozen=True, slots=True)
class Shown:
    """What maps must show.

    Attributes:
        text: As the case has it.
        at: The byte address from which on it must show that.
    """

    text: str
    at: ast.expr
    runs: tuple[Run, ...]

    def unmet(self, answer: Answer, names: Names) -> str:
        """Return what should be shown and is not; "" if it is."""
        found = runs_from(answer.maps, value_of(self.at, names), self.runs)
        if found == list(self.runs):
            return ""
        return f"{self.text}; not {', '.join(map(str, found))}"


@dataclass(frozen=True, slots=True)
class Counted:
    """How many pages a counter must have.

    Attributes:
        name: A name in kernel_side.COUNTS.
    """

    name: str
    pages: int

    def unmet(self, answer: Answer, names: Names) -> str:
        """Return what should be counted and is not; "" if it is."""
        found = (answer.counts or {})[self.name]
        return "" if found == self.pages else f"{self.name}: {self.pages}; not {found}"


@dataclass(slots=True)
class Step:
    """A call and its expected outcome.

    Attributes:
        line: Its line number in the file.
        call: The call as written.
        label: The name of its result in later lines, or "".
        result: The expected result, or negated errno; None for anything.
        succeeds: It must not fail. This is for cases that say nothing of the result.
        shows: What must be there afterwards.
    """

    line: int
    call: ast.expr
    label: str = ""
    result: ast.expr | None = None
    succeeds: bool = True
    shows: list[Shown | Counted] = field(default_factory=list)

    def unmet(self, answer: Answer, names: Names) -> str:
        """Return what the outcome lacks; "" if it is as expected."""
        wanted = None if self.result is None else value_of(self.result, names)
        if wanted is not None and answer.result != wanted:
            return f"line {self.line}: -> {format_result(wanted)}"
        if wanted is None and self.succeeds and answer.result < 0:
            return f"line {self.line}: success"
        unmet = (each.unmet(answer, names) for each in self.shows)
        return next((f"line {self.line}: {each}" for each in unmet if each), "")


@dataclass(slots=True)
class Case:
    """A case, as written in a file.

    Attributes:
        title: What it shows, in words; "" for a script that expects nothing.
        source: The case of another suite that checks the same, or "".
        since, until: The releases for which it holds: since the first, or since a change; before
            the second. None for no bound.
        names: What names stand for in its calls.
    """

    title: str = ""
    source: str = ""
    since: Release | Change | None = None
    until: Release | Change | None = None
    names: dict[str, int | ast.expr] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def holds_for(self, release: Release) -> bool:
        """Return whether it holds for a release."""
        begun = self.since is None or _reaches(release, self.since)
        return begun and (self.until is None or not _reaches(release, self.until))

    def play(self) -> Iterator[tuple[Operation, Expectation]]:
        """Yield its operations, each with a function that takes the answer before the next one."""
        names = dict(self.names)
        for step in self.steps:
            answers: list[Answer] = []

            def expected(answer: Answer, step: Step = step, answers: list[Answer] = answers) -> str:
                answers.append(answer)
                if step.label:
                    names[step.label] = answer.result
                return step.unmet(answer, names)

            yield operation_of(step.call, names), expected
            if not answers:
                return  # it was skipped: later calls would meet another address space


def _reaches(release: Release, limit: Release | Change) -> bool:
    return release.has(limit) if isinstance(limit, Change) else release >= limit
