"""ConformTarget: a kernel with which the engine is compared."""

from dataclasses import dataclass, field, replace
from typing import Protocol

from untorn.conform.outcome import ConformRun, Report


@dataclass(frozen=True, slots=True)
class ConformOptions:
    """What to make, at any target.

    Attributes:
        operations: How many operations per seed.
        seeds: Each determines a run's operations.
        abi: The ABI of programs: a name in traced.abi.ABIS.
        files: Texts of files of cases or scripts, by name, to make instead of random operations.
    """

    operations: int = 0
    seeds: tuple[str, ...] = ()
    abi: str = "x86_64"
    files: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The most operations; 0 if that is not known."""
        return self.operations * len(self.seeds)

    @property
    def origin(self) -> str:
        """Where the operations come from, in words."""
        plural = "s" * (len(self.seeds) > 1)
        return ", ".join(self.files) or f"seed{plural} {', '.join(self.seeds)}"

    @property
    def parts(self) -> "list[ConformOptions]":
        """Parts that can be made separately: the sum of their results, in order, is the run's."""
        if self.files:
            return [replace(self, files={name: text}) for name, text in self.files.items()]
        return [replace(self, seeds=(seed,)) for seed in self.seeds]


class ConformTarget(Protocol):
    """A kernel as the oracle: the running one or another one."""

    @property
    def name(self) -> str:
        """What the command line calls it."""

    def conform(self, options: ConformOptions, report: Report) -> ConformRun:
        """Compare the engine with it; Ctrl-C or SIGTERM skips the rest.

        Args:
            options: What to make.
            report: Called now and then with the results so far.

        Raises:
            OutOfReachError: The kernel cannot be the oracle, or cannot be found.
            OSError: A file cannot be read or written.
        """
