"""Files of cases: calls as in C, labels for what they return, and expected outcomes.

    RW = PROT_READ | PROT_WRITE
    ANON = MAP_PRIVATE | MAP_ANONYMOUS

    case a page made read-only in the middle makes three VMAs
    from merge.c: its name for it
    since 6.1
    until 7.4
    a = mmap(0, 3*PAGE, RW, ANON, -1, 0)
    mprotect(a + PAGE, PAGE, PROT_READ)
    a: 1 rw-p, 1 r--p, 1 rw-p
    mprotect(a + 1, PAGE, PROT_READ) -> EINVAL

A call returns what follows its arrow: an errno, or a number. In a case, a call without an arrow
must succeed. Lines outside any case are a script, which expects only what it says. shown.py
explains what maps must show; `locked_vm: 3` is an expected count of pages. A release may also be
named by a change in releases/changes.py. Names defined before the first case are known in all
cases. Lines that begin with # are ignored.
"""

import ast
import re
from collections.abc import Iterable

from untorn.conform.case import Case, Counted, Shown, Step
from untorn.conform.expression import Names, parse_expression, parse_line, value_of
from untorn.conform.kernel_side import COUNTS
from untorn.conform.operation import Operation
from untorn.conform.script_text import CONSTANTS, operation_of
from untorn.conform.shown import parse_runs
from untorn.releases.changes import all_changes
from untorn.releases.release import Change, Release

_DIRECTIVE = re.compile(r"(case|from|since|until)\s+(.*)")
_RELEASE = re.compile(r"\d+\.\d+")


def parse_cases(text: str) -> list[Case]:
    """Return the cases of a file; lines outside any case come first, with an empty title.

    Raises:
        ValueError: A line is invalid; the message has its number.
    """
    reader = _Reader()
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            try:
                reader.read(number, line.strip())
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    untold = next((case for case in reader.cases[1:] if not case.steps), None)
    if untold is not None:
        raise ValueError(f"nothing is called in case {untold.title}")
    return [case for case in reader.cases if case.steps]


def parse_script(text: str) -> list[Operation]:
    """Return the operations of a script without cases and labels.

    Raises:
        ValueError: as parse_cases().
    """
    steps: Iterable[Step] = (step for case in parse_cases(text) for step in case.steps)
    return [operation_of(step.call, CONSTANTS) for step in steps]


class _Reader:
    """Reads line by line.

    Attributes:
        cases: The cases so far; the last one is still open.
    """

    def __init__(self) -> None:
        self.cases = [Case(names=dict(CONSTANTS))]
        self._labels: dict[str, int | ast.expr] = {}

    def read(self, number: int, line: str) -> None:
        """Read a line. Raises ValueError if it is invalid."""
        if directive := _DIRECTIVE.fullmatch(line):
            getattr(self, f"_told_{directive[1]}")(directive[2])
        elif "->" not in line and ":" in line:
            self._shown(*line.rsplit(":", 1))
        else:
            text, arrow, result = line.partition("->")
            if arrow and not result.strip():
                raise ValueError("there is nothing after the arrow")
            self._statement(number, text, result)

    @property
    def _case(self) -> Case:
        return self.cases[-1]

    @property
    def _known(self) -> Names:
        """The names that are known here; only a run knows what labels stand for."""
        return self._case.names | self._labels

    def _told_case(self, title: str) -> None:
        self.cases.append(Case(title, names=dict(self.cases[0].names)))
        self._labels = {}

    def _told_from(self, source: str) -> None:
        self._case.source = source

    def _told_since(self, release: str) -> None:
        self._case.since = _release(release)

    def _told_until(self, release: str) -> None:
        self._case.until = _release(release)

    def _statement(self, number: int, text: str, result: str) -> None:
        match parse_line(text.strip()):
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call):
                self._call(number, call, result, name)
                self._labels[self._new(name)] = 0
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if not result:
                value_of(value, self._known)
                self._case.names[self._new(name)] = value
            case ast.Expr(value=call):
                self._call(number, call, result)
            case _:
                raise ValueError(f"{text.strip()!r} is no call")

    def _call(self, number: int, call: ast.expr, result: str, label: str = "") -> None:
        operation_of(call, self._known)
        returned = parse_expression(result) if result else None
        if returned is not None:
            value_of(returned, {**self._known, label: 0})
        step = Step(number, call, label, returned, succeeds=bool(self._case.title))
        self._case.steps.append(step)

    def _shown(self, where: str, what: str) -> None:
        if not self._case.steps:
            raise ValueError("there is no call before this outcome")
        shows = self._case.steps[-1].shows
        if where.strip() in COUNTS:
            shows.append(Counted(where.strip(), value_of(parse_expression(what), self._known)))
            return
        at = parse_expression(where)
        value_of(at, self._known)
        shows.append(Shown(f"{where}:{what}", at, parse_runs(what)))

    def _new(self, name: str) -> str:
        if name in self._known:
            raise ValueError(f"{name} is already defined")
        return name


def _release(text: str) -> Release | Change:
    """Return a release by its number, or the change of that name in releases/changes.py."""
    if change := dict(all_changes()).get(text):
        return change
    if not _RELEASE.fullmatch(text):
        raise ValueError(f"{text!r} is no release, and no change of one")
    return Release.parse(text)
