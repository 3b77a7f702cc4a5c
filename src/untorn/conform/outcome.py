"""What a run came to, and how it travels: a guest's is sent to the host as JSON."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from untorn.conform.operation import Operation
from untorn.conform.pair import Answer, Mismatch
from untorn.conform.script_text import format_operation, parse_operation


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
        mismatch = self.mismatch
        return {
            "origin": self.origin,
            "script": self.script,
            "operations": list(map(format_operation, self.operations)),
            "mismatch": {
                "number": mismatch.number,
                "operation": format_operation(mismatch.operation),
                "engine": _answer_as_json(mismatch.engine),
                "kernel": _answer_as_json(mismatch.kernel),
                "expected": mismatch.expected,
            },
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return the failure that as_json() made these fields of."""
        parted = fields["mismatch"]
        mismatch = Mismatch(
            parted["number"],
            parse_operation(parted["operation"]),
            _answer_from_json(parted["engine"]),
            _answer_from_json(parted["kernel"]),
            parted["expected"],
        )
        operations = list(map(parse_operation, fields["operations"]))
        return cls(fields["origin"], fields["script"], operations, mismatch)


@dataclass(slots=True)
class ConformRun:
    """What a run came to, complete or not.

    Attributes:
        counts: Operations that agreed, by their name and "ok" or the name of an errno.
        scripts: Begun.
        seconds: That all took, without shrinking.
        failures: Mismatches; each ended what its seed, or its script, had left.
        interrupted: By Ctrl-C or SIGTERM.
        left_out: How many operations were not made, by the reason.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    scripts: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    interrupted: bool = False
    left_out: Counter[str] = field(default_factory=Counter)

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
        return not self.failures and not self.interrupted

    def __add__(self, other: "ConformRun") -> "ConformRun":
        return ConformRun(
            self.counts + other.counts,
            self.scripts + other.scripts,
            self.seconds + other.seconds,
            self.failures + other.failures,
            self.interrupted or other.interrupted,
            self.left_out + other.left_out,
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return {
            "counts": [(name, result, count) for (name, result), count in self.counts.items()],
            "scripts": self.scripts,
            "seconds": self.seconds,
            "failures": [failure.as_json() for failure in self.failures],
            "interrupted": self.interrupted,
            "left_out": dict(self.left_out),
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return the run that as_json() made these fields of."""
        counts = {(name, result): count for name, result, count in fields["counts"]}
        return cls(
            counts=Counter(counts),
            scripts=fields["scripts"],
            seconds=fields["seconds"],
            failures=list(map(Failure.from_json, fields["failures"])),
            interrupted=fields["interrupted"],
            left_out=Counter(fields["left_out"]),
        )


def _answer_as_json(answer: Answer) -> dict[str, Any]:
    return asdict(answer) | {"maps": answer.maps.decode("latin-1")}


def _answer_from_json(fields: dict[str, Any]) -> Answer:
    return Answer(**fields | {"maps": fields["maps"].encode("latin-1")})
