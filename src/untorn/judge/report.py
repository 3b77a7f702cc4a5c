"""Report what is broken: the rule, the lines, the states."""

from untorn.judge.contract import Evidence, Violation
from untorn.judge.reading import Reading

_AROUND = 3
"""Lines shown before and after the one in question."""
_STATES = 40
"""Lines of states shown at most: the first and the last ones."""


def report(violation: Violation, reading: Reading, evidence: Evidence) -> list[str]:
    """Return a violation as text: lines of the reading, marked, and the states in its window."""
    start, end = violation.around
    where = f"{start:08x}-{end:08x}"
    window = f"states {violation.first} to {violation.last}"
    text = [f"{violation.rule.value}: {where}, in {window}", "lines shown:"]
    text += _lines(violation, reading)
    if violation.before is not None:
        start = min(start, violation.before.start)
    if violation.line is not None:
        start, end = min(start, violation.line.start), max(end, violation.line.end)
    text.append(f"what stood from {start:08x} to {end:08x}:")
    states = evidence.describe((start, end), violation.first, violation.last)
    if len(states) > _STATES:
        states[_STATES // 2 : -_STATES // 2] = ["  ..."]
    return text + states


def _lines(violation: Violation, reading: Reading) -> list[str]:
    """Return the lines around the one in question, marked with >, and which fills they are from."""
    rows = [
        f"{' >'[(number, index) == (violation.fill, violation.index)]} {line}  (read {number})"
        for number, fill in enumerate(reading.fills)
        for index, line in enumerate(fill.lines)
    ]
    if violation.line is None:
        rows.append("> the end")
    at = sum(len(fill.lines) for fill in reading.fills[: violation.fill]) + violation.index
    return rows[max(at - _AROUND, 0) : at + _AROUND + 1]
