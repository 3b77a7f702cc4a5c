"""ConformTarget: a kernel that the engine is held to."""

from dataclasses import dataclass, field, replace
from typing import Protocol

from untorn.conform.outcome import ConformRun, Report


@dataclass(frozen=True, slots=True)
class ConformOptions:
    """What is to be made, at whatever target.

    Attributes:
        operations: How many with each seed.
        seeds: Each decides which operations.
        abi: What programs are compiled for: a name of traced.abi.ABIS.
        files: Text of files of cases, or of scripts, to make in place of random operations, by
            their names.
    """

    operations: int = 0
    seeds: tuple[str, ...] = ()
    abi: str = "x86_64"
    files: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many operations are made at most; 0 if that is not known."""
        return self.operations * len(self.seeds)

    @property
    def origin(self) -> str:
        """Where the operations are from, in words."""
        plural = "s" * (len(self.seeds) > 1)
        return ", ".join(self.files) or f"seed{plural} {', '.join(self.seeds)}"

    @property
    def parts(self) -> "list[ConformOptions]":
        """What can be made apart: what each comes to, summed up in this order, all comes to."""
        if self.files:
            return [replace(self, files={name: text}) for name, text in self.files.items()]
        return [replace(self, seeds=(seed,)) for seed in self.seeds]


class ConformTarget(Protocol):
    """A kernel as the oracle: the running one, or another one."""

    @property
    def name(self) -> str:
        """What the command line calls it."""

    def conform(self, options: ConformOptions, report: Report) -> ConformRun:
        """Hold the engine to it; Ctrl-C or SIGTERM leaves the rest out.

        Args:
            options: What to make.
            report: Is told now and then what it came to so far.

        Raises:
            OutOfReachError: The kernel cannot be the oracle, or cannot be had.
            OSError: A file cannot be read or written.
        """
