"""Files of cases: calls as C has them, labels for what they return, and what must come out.

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

A call returns what is after its arrow: an errno, or a number. Without an arrow it must succeed,
in a case; lines that belong to none are a script, of which nothing is expected that it does not
say. What maps must show is in shown.py; `locked_vm: 3` says what is counted, in pages. Releases
may be named by the changes in releases/changes.py. Names that are given before the first case
are known to all. Lines that begin with # are left out.
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
    """Return the cases of a file; what belongs to none comes first, with an empty title.

    Raises:
        ValueError: A line means nothing, with its number.
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
    """Reads line after line.

    Attributes:
        cases: What was read; the last one goes on.
    """

    def __init__(self) -> None:
        self.cases = [Case(names=dict(CONSTANTS))]
        self._labels: dict[str, int | ast.expr] = {}

    def read(self, number: int, line: str) -> None:
        """Read a line. Raises ValueError if it means nothing."""
        if directive := _DIRECTIVE.fullmatch(line):
            getattr(self, f"_told_{directive[1]}")(directive[2])
        elif "->" not in line and ":" in line:
            self._shown(*line.rsplit(":", 1))
        else:
            text, arrow, result = line.partition("->")
            if arrow and not result.strip():
                raise ValueError("nothing is said after the arrow")
            self._statement(number, text, result)

    @property
    def _case(self) -> Case:
        return self.cases[-1]

    @property
    def _known(self) -> Names:
        """What may be named here; what labels stand for, only a run tells."""
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
            raise ValueError("nothing was called that could have come out so")
        shows = self._case.steps[-1].shows
        if where.strip() in COUNTS:
            shows.append(Counted(where.strip(), value_of(parse_expression(what), self._known)))
            return
        at = parse_expression(where)
        value_of(at, self._known)
        shows.append(Shown(f"{where}:{what}", at, parse_runs(what)))

    def _new(self, name: str) -> str:
        if name in self._known:
            raise ValueError(f"{name} is taken")
        return name


def _release(text: str) -> Release | Change:
    """Return a release by its number, or by the name that a change has in releases/changes.py."""
    if change := dict(all_changes()).get(text):
        return change
    if not _RELEASE.fullmatch(text):
        raise ValueError(f"{text!r} is no release, and no change of one")
    return Release.parse(text)
