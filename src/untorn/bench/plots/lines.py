"""Which readers a panel shows, in which order and colour, and its note on the others."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from untorn.bench.command import EXEC
from untorn.bench.plots.style import COLOURS
from untorn.bench.sample import Sample, Summary, by_kind, label, ratio_to_none

MOST = 6
"""Lines in a panel."""
LONGEST_NAME = 26
"""Characters of a label; a longer command is cut."""


class Kind(NamedTuple):
    """A reader in one of its variants."""

    reader: str
    variant: str

    @property
    def name(self) -> str:
        """What tables call it."""
        return label(self.reader, self.variant)

    @property
    def short(self) -> str:
        """What a label calls it."""
        name = self.variant if self.reader == EXEC else self.name
        return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"

    @property
    def stroke(self) -> str:
        """How its line is drawn: solid, or dashed for a variant that may be beside its reader."""
        return "--" if self.variant and self.reader != EXEC else "-"


def choose(kinds: Sequence[Kind], named: Sequence[str]) -> list[Kind]:
    """Choose at most MOST: `none`, then those that were named, then others in the order of COLOURS.

    A variant has a line only if it was named.
    """

    def rank(kind: Kind) -> tuple[bool, int, int]:
        by_name = named.index(kind.name) if kind.name in named else len(named)
        known = list(COLOURS)
        by_reader = known.index(kind.reader) if kind.reader in known else len(known)
        return kind.reader != "none", by_name, by_reader

    wanted = [kind for kind in kinds if not kind.variant or kind.name in named]
    return sorted(wanted, key=rank)[:MOST]


def left_out(kinds: Iterable[Kind], chosen: Sequence[Kind]) -> str:
    """Return which kinds have no line, as words; empty if all have one."""
    others = [kind for kind in kinds if kind not in chosen]
    parts = [kind.short for kind in others if not kind.variant]
    if variants := len(others) - len(parts):
        parts.append(f"{variants} variant{'s' if variants > 1 else ''}")
    return f"not drawn: {', '.join(parts)}" if parts else ""


def colours(kinds: Sequence[Kind]) -> dict[Kind, str]:
    """Return a colour for each; a reader without one in COLOURS gets one that no other has."""
    taken = {COLOURS.get(kind.reader) for kind in kinds}
    spare = iter([each for each in reversed(COLOURS.values()) if each not in taken])
    return {kind: COLOURS.get(kind.reader) or next(spare) for kind in kinds}


@dataclass(frozen=True, slots=True)
class Line:
    """A reader of one target, as a line of its panel."""

    kind: Kind
    samples: list[Sample]
    """Its runs that measured something."""
    mean_ms: float
    ratio: float
    """Its mean divided by that of `none`; NaN if that was not measured."""
    colour: str

    @property
    def text(self) -> str:
        """Its label: the reader's name, and how much worse it is."""
        if math.isnan(self.ratio) or self.kind == ("none", ""):
            return self.kind.short
        return f"{self.kind.short}  {times(self.ratio)}"


def times(ratio: float) -> str:
    """Return a ratio with two digits or more."""
    return f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.1f}x"


def lines_of(samples: Iterable[Sample], named: Sequence[str]) -> tuple[list[Line], str]:
    """Return the lines of one target, and the note on the others.

    `none` comes first, the others from the worst mean to the best.
    """
    groups = by_kind(each for each in samples if each.updates)
    measured = {Kind(runs[0].reader, runs[0].variant): runs for runs in groups}
    chosen = choose(list(measured), named)
    lines = sorted(_lines(measured, chosen), key=lambda line: -line.mean_ms)
    lines.sort(key=lambda line: line.kind.reader != "none")
    return lines, left_out(measured, chosen)


def _lines(measured: dict[Kind, list[Sample]], chosen: Sequence[Kind]) -> Iterator[Line]:
    summaries = {kind: Summary.of(runs) for kind, runs in measured.items()}
    for kind, colour in colours(chosen).items():
        ratio = ratio_to_none(summaries[kind], summaries.values())
        yield Line(kind, measured[kind], summaries[kind].mean_ms, ratio, colour)
