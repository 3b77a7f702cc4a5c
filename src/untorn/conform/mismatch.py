"""Where engine and kernel part."""

from dataclasses import dataclass
from traceback import extract_tb

from untorn.conform.operation import Operation


@dataclass(frozen=True, slots=True)
class Answer:
    """What one side made of an operation.

    Attributes:
        result: What it returned, an errno negated.
        maps: The text of maps afterwards.
        counts: Pages of each kind afterwards; see kernel_side.COUNTS.
        fault: Of the engine: the exception that ended it, and where. The rest is empty then.
    """

    result: int = 0
    maps: bytes = b""
    counts: dict[str, int] | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where engine and kernel part, after an operation.

    Attributes:
        number: Of the operation in its script, from 0.
    """

    number: int
    operation: Operation
    engine: Answer
    kernel: Answer


def describe_fault(error: Exception) -> str:
    """Say what went wrong and where."""
    frame = extract_tb(error.__traceback__)[-1]
    where = "/".join(frame.filename.split("/")[-2:])
    return f"{type(error).__name__}: {error} ({where}:{frame.lineno} {frame.name})"
