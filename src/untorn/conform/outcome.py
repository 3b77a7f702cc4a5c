"""The outcome of a run."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from untorn.conform.operation import Operation
from untorn.conform.pair import Mismatch
from untorn.errors import OutOfReachError


@dataclass(frozen=True, slots=True)
class Failure:
    """A mismatch, and the shortest script found that shows it.

    Attributes:
        origin: The seed that led to it, or the name of the script.
        script: Number of the seed's script.
        operations: The shortest script; the mismatch is at its last operation.
    """

    origin: str
    script: int
    operations: list[Operation]
    mismatch: Mismatch

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "origin": self.origin,
            "script": self.script,
            "operations": [(each.name, each.arguments) for each in self.operations],
            "mismatch": self.mismatch.as_json(),
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return the failure that as_json() turned into these fields."""
        made = {
            "operations": [Operation(name, tuple(rest)) for name, rest in fields["operations"]],
            "mismatch": Mismatch.from_json(fields["mismatch"]),
        }
        return cls(**fields | made)


@dataclass(slots=True)
class ConformRun:
    """The results of a run, complete or not.

    Attributes:
        counts: Operations that agreed, by name and "ok" or the name of an errno.
        scripts: Scripts begun.
        seconds: Time of all of them, without shrinking.
        failures: Mismatches; each ended its seed, or its script.
        interrupted: Whether Ctrl-C or SIGTERM ended it.
        broken_off: Why the kernel could not be asked any further; empty if it could.
        left_out: How many operations were skipped, by reason.
        release: The kernel's, as uname -r prints it; empty if unknown.
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
        """The share of them that succeeded."""
        good = sum(count for (_, result), count in self.counts.items() if result == "ok")
        return good / self.operations if self.operations else 0.0

    @property
    def is_good(self) -> bool:
        """Whether everything was made, and agreed."""
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
        """Return it as JSON values."""
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
        """Return the run that as_json() turned into these fields."""
        counts = {(name, result): count for name, result, count in fields["counts"]}
        made = {
            "counts": Counter(counts),
            "failures": list(map(Failure.from_json, fields["failures"])),
            "left_out": Counter(fields["left_out"]),
        }
        return cls(**fields | made)


Outcome = ConformRun | OutOfReachError
"""The outcome at a target; an error if the target is out of reach."""
Report = Callable[[ConformRun], None]
"""Called now and then with the results so far."""


def ignore(run: ConformRun) -> None:
    """Ignore a report."""
