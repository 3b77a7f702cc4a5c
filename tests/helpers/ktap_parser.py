"""A strict parser of KTAP version 1: it refuses what ktap.rst forbids or advises against."""

import re
from dataclasses import dataclass, field

RESULT = re.compile(r"(ok|not ok) (\d+)(?: ([^#]*[^# ]))?(?: # ?(.*))?")
PLAN = re.compile(r"1\.\.(\d+)")
DIRECTIVES = {"SKIP", "TODO", "XFAIL", "TIMEOUT", "ERROR"}
STEP = "  "


@dataclass
class Result:
    ok: bool
    name: str
    directive: str = ""
    reason: str = ""
    subtests: list["Result"] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class KtapError(AssertionError):
    pass


def parse_ktap(text: str) -> tuple[list[Result], list[str]]:
    """Return the results of a whole document, and the notes that belong to none of them."""
    lines = text.split("\n")
    if lines.pop():
        raise KtapError("the last line is cut off")
    results, notes, rest = _suite(lines, "")
    if rest:
        raise KtapError(f"after the last result: {rest[0]!r}")
    return results, notes


def _suite(lines: list[str], indent: str) -> tuple[list[Result], list[str], list[str]]:
    """Read a version line, a plan and its results; return them and the remaining lines."""
    if lines[:1] != [f"{indent}KTAP version 1"]:
        raise KtapError(f"no version line: {lines[:1]}")
    plan = PLAN.fullmatch(lines[1].removeprefix(indent)) if len(lines) > 1 else None
    if plan is None:
        raise KtapError(f"no plan: {lines[1:2]}")
    results: list[Result] = []
    subtests: list[Result] | None = None
    notes: list[str] = []
    lines = lines[2:]
    while lines:
        if lines[0].startswith(f"{indent}{STEP}KTAP"):
            if subtests is not None:
                raise KtapError("subtests twice for one test")
            subtests, more_notes, lines = _suite(lines, indent + STEP)
            notes += more_notes
            continue
        if not lines[0].startswith(indent):
            break
        line = lines.pop(0).removeprefix(indent)
        if line.startswith("#"):
            notes.append(line.removeprefix("#").removeprefix(" "))
            continue
        result = _result(line, len(results) + 1)
        result.subtests, result.notes = subtests or [], notes
        if subtests and result.ok != all(each.ok for each in subtests):
            raise KtapError(f"{line!r} does not follow from its subtests")
        results.append(result)
        subtests, notes = None, []
    if len(results) != int(plan[1]) or subtests is not None:
        raise KtapError(f"{len(results)} results where {plan[1]} were planned")
    return results, notes, lines


def _result(line: str, number: int) -> Result:
    found = RESULT.fullmatch(line)
    if found is None:
        raise KtapError(f"neither result nor note: {line!r}")
    if int(found[2]) != number:
        raise KtapError(f"number {number} expected: {line!r}")
    directive, _, reason = (found[4] or "").partition(" ")
    if directive and directive not in DIRECTIVES:
        raise KtapError(f"no directive: {line!r}")
    return Result(found[1] == "ok", found[3] or "", directive, reason)
