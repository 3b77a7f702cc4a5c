"""A case: calls, and what must come out of each."""

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
        at: From which byte address on.
    """

    text: str
    at: ast.expr
    runs: tuple[Run, ...]

    def unmet(self, answer: Answer, names: Names) -> str:
        """Say what must be shown and is not; "" if it is."""
        found = runs_from(answer.maps, value_of(self.at, names), self.runs)
        if found == list(self.runs):
            return ""
        return f"{self.text}; not {', '.join(map(str, found))}"


@dataclass(frozen=True, slots=True)
class Counted:
    """How many pages a count must have.

    Attributes:
        name: Of kernel_side.COUNTS.
    """

    name: str
    pages: int

    def unmet(self, answer: Answer, names: Names) -> str:
        """Say what must be counted and is not; "" if it is."""
        found = (answer.counts or {})[self.name]
        return "" if found == self.pages else f"{self.name}: {self.pages}; not {found}"


@dataclass(slots=True)
class Step:
    """A call, and what must come out.

    Attributes:
        line: Its number in the file.
        call: As it is written.
        label: What its result is called in what follows, or "".
        result: What it must return, an errno negated; None for anything.
        succeeds: It must not return an errno. That is for cases that say nothing of the result.
        shows: What must be there afterwards.
    """

    line: int
    call: ast.expr
    label: str = ""
    result: ast.expr | None = None
    succeeds: bool = True
    shows: list[Shown | Counted] = field(default_factory=list)

    def unmet(self, answer: Answer, names: Names) -> str:
        """Say what must have come out and has not; "" if all has."""
        wanted = None if self.result is None else value_of(self.result, names)
        if wanted is not None and answer.result != wanted:
            return f"line {self.line}: -> {format_result(wanted)}"
        if wanted is None and self.succeeds and answer.result < 0:
            return f"line {self.line}: success"
        unmet = (each.unmet(answer, names) for each in self.shows)
        return next((f"line {self.line}: {each}" for each in unmet if each), "")


@dataclass(slots=True)
class Case:
    """A case as a file has it.

    Attributes:
        title: What it shows, in words; "" for a script that expects nothing.
        source: Which case of somebody else's suite checks the same, or "".
        since, until: The releases of which it is true: from the first, or all that have the
            change, up to and without the second; None for all.
        names: What they stand for in its calls.
    """

    title: str = ""
    source: str = ""
    since: Release | Change | None = None
    until: Release | Change | None = None
    names: dict[str, int | ast.expr] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def holds_for(self, release: Release) -> bool:
        """Say whether it is true of a release."""
        begun = self.since is None or _reaches(release, self.since)
        return begun and (self.until is None or not _reaches(release, self.until))

    def play(self) -> Iterator[tuple[Operation, Expectation]]:
        """Yield its operations, each with what must be told how it came out before the next."""
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
                return  # it was left out: what follows is about another address space


def _reaches(release: Release, limit: Release | Change) -> bool:
    return release.has(limit) if isinstance(limit, Change) else release >= limit
