"""What a run came to."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from untorn.conform.operation import Operation
from untorn.conform.pair import Mismatch
from untorn.errors import OutOfReachError


@dataclass(frozen=True, slots=True)
class Failure:
    """A mismatch, and the shortest script that was found to show it.

    Attributes:
        origin: The seed that it was found with, or the name of the script.
        script: Number of the script of the seed.
        operations: The shortest script; the mismatch is at its last operation.
    """

    origin: str
    script: int
    operations: list[Operation]
    mismatch: Mismatch

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return {
            "origin": self.origin,
            "script": self.script,
            "operations": [(each.name, each.arguments) for each in self.operations],
            "mismatch": self.mismatch.as_json(),
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return the failure that as_json() made these fields of."""
        made = {
            "operations": [Operation(name, tuple(rest)) for name, rest in fields["operations"]],
            "mismatch": Mismatch.from_json(fields["mismatch"]),
        }
        return cls(**fields | made)


@dataclass(slots=True)
class ConformRun:
    """What a run came to, complete or not.

    Attributes:
        counts: Operations that agreed, by their name and "ok" or the name of an errno.
        scripts: Begun.
        seconds: That all took, without shrinking.
        failures: Mismatches; each ended what its seed, or its script, had left.
        interrupted: By Ctrl-C or SIGTERM.
        broken_off: Why the kernel could be asked no further; empty if it could.
        left_out: How many operations were not made, by the reason.
        release: Of the kernel, as uname -r tells it; empty if that is not known.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    scripts: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    interrupted: bool = False
    broken_off: str = ""
    left_out: Counter[str] = field(default_factory=Counter)
    release: str = ""

    @property
    def operations(self) -> int:
        """How many operations agreed."""
        return self.counts.total()

    @property
    def succeeded(self) -> float:
        """Which share of them succeeded."""
        good = sum(count for (_, result), count in self.counts.items() if result == "ok")
        return good / self.operations if self.operations else 0.0

    @property
    def is_good(self) -> bool:
        """Whether all was made, and agreed."""
        return not (self.failures or self.interrupted or self.broken_off)

    def __add__(self, other: "ConformRun") -> "ConformRun":
        return ConformRun(
            self.counts + other.counts,
            self.scripts + other.scripts,
            self.seconds + other.seconds,
            self.failures + other.failures,
            self.interrupted or other.interrupted,
            self.broken_off or other.broken_off,
            self.left_out + other.left_out,
            self.release or other.release,
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return {
            "counts": [(name, result, count) for (name, result), count in self.counts.items()],
            "scripts": self.scripts,
            "seconds": self.seconds,
            "failures": [failure.as_json() for failure in self.failures],
            "interrupted": self.interrupted,
            "broken_off": self.broken_off,
            "left_out": self.left_out,
            "release": self.release,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return the run that as_json() made these fields of."""
        counts = {(name, result): count for name, result, count in fields["counts"]}
        made = {
            "counts": Counter(counts),
            "failures": list(map(Failure.from_json, fields["failures"])),
            "left_out": Counter(fields["left_out"]),
        }
        return cls(**fields | made)


Outcome = ConformRun | OutOfReachError
"""Of a target; an error if that is out of reach."""
Report = Callable[[ConformRun], None]
"""Is told now and then what a run came to so far."""


def ignore(run: ConformRun) -> None:
    """Take no notice of it."""
