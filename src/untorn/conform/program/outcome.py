"""What a traced run came to."""

from collections import Counter
from dataclasses import dataclass, field

from untorn.conform.operation import Operation
from untorn.conform.pair import Mismatch
from untorn.conform.program.history import History


@dataclass(frozen=True, slots=True)
class ProgramMismatch:
    """A call of the program after which engine and kernel part.

    Attributes:
        pid: Of the thread that made it.
        before: The text of maps before the call.
        script: What shows it to a process that begins anew, if anything can.
    """

    pid: int
    before: bytes
    mismatch: Mismatch
    script: list[Operation]


@dataclass(slots=True)
class ProgramRun:
    """What a run came to, complete or not.

    Attributes:
        counts: Calls that agreed, by their name and "ok" or the name of an errno.
        not_modelled: What was taken from the kernel, by what it was.
        mismatches: All of them.
        programs: Execs.
        processes, threads: How many there were.
        seconds: From the first exec to the last end.
        tracing: Seconds of them in which the tracer was at work.
        ending: The exit status of the program itself, or minus the number of a signal.
        interrupted: By Ctrl-C or SIGTERM.
        records: How each address space came to be as it was at its end, if that was asked for.
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
