"""The outcome of a traced run."""

from collections import Counter
from dataclasses import dataclass, field

from untorn.conform.operation import Operation
from untorn.conform.pair import Mismatch
from untorn.conform.program.history import History


@dataclass(frozen=True, slots=True)
class ProgramMismatch:
    """A call of the program after which engine and kernel differ.

    Attributes:
        pid: The thread that made it.
        before: The text of maps before the call.
        script: Operations that show it in a fresh process, if there are any.
    """

    pid: int
    before: bytes
    mismatch: Mismatch
    script: list[Operation]


@dataclass(slots=True)
class ProgramRun:
    """The results of a run, complete or not.

    Attributes:
        counts: Calls that agreed, by name and "ok" or the name of an errno.
        not_modelled: What was taken from the kernel, by kind.
        mismatches: All of them.
        programs: How many execs there were.
        processes, threads: How many there were.
        seconds: Time from the first exec to the last end.
        tracing: Seconds of that time in which the tracer worked.
        ending: The exit status of the program itself, or the negated number of a signal.
        interrupted: Whether Ctrl-C or SIGTERM ended it.
        records: How each address space got its last form, if that was asked for.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    not_modelled: Counter[str] = field(default_factory=Counter)
    mismatches: list[ProgramMismatch] = field(default_factory=list)
    programs: int = 0
    processes: int = 0
    threads: int = 0
    seconds: float = 0.0
    tracing: float = 0.0
    ending: int = 0
    interrupted: bool = False
    records: list[History] = field(default_factory=list)

    @property
    def operations(self) -> int:
        """How many calls agreed."""
        return self.counts.total()
