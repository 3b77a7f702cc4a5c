"""What was tolerated in a map that comes from elsewhere."""

from dataclasses import dataclass, replace

from untorn.maps.difference import Difference, FormatRule


@dataclass(frozen=True, slots=True)
class Leniency:
    """One kind of difference from what Linux prints: its first place, and how often it occurs."""

    line: int
    """From 1; 0 if the map was not a text."""
    column: int
    """From 1, in bytes; 0 if the map was not a text."""
    found: str
    """What stands there."""
    linux: str
    """What Linux prints there."""
    lines: int = 1
    """How many lines or ranges have a difference of this kind."""

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        of_what = "lines" if self.line else "ranges"
        more = f" ({self.lines} {of_what})" if self.lines > 1 else ""
        return f"{place}{self.found}; Linux prints {self.linux}{more}"


class Leniencies:
    """One leniency for each rule that is broken, however long the text is."""

    def __init__(self) -> None:
        self._by_rule: dict[FormatRule, Leniency] = {}

    def add(self, line: int, differences: list[Difference]) -> None:
        """Count a line once for each rule that it breaks."""
        for each in {each.rule: each for each in reversed(differences)}.values():
            known = self._by_rule.get(each.rule)
            self._by_rule[each.rule] = (
                replace(known, lines=known.lines + 1)
                if known
                else Leniency(line, each.column, each.found, each.rule.value)
            )

    def told(self) -> tuple[Leniency, ...]:
        """Return the leniencies in the order in which they were first met."""
        return tuple(sorted(self._by_rule.values(), key=lambda each: (each.line, each.column)))
