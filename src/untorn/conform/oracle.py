"""Oracle: the interface of a kernel to ask, wherever it runs; JSON can carry all values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from untorn.conform.answer import Answer
from untorn.conform.operation import Operation

Calls = Sequence[Operation]
"""The calls of one operation."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is the same for all processes that the oracle starts.

    Attributes:
        release: The release that the engine follows: the kernel's, or the nearest one that it
            models.
        abi: The ABI of their program: a name in traced.abi.ABIS.
        task_size: The first byte address that they cannot have.
        topdown: Whether their mappings are placed from the top down.
        limits: The fields of mm.limits.Limits.
        hard_limits: By number in LIMITS, in bytes, -1 for none.
        segments: The shmids, in the order of segments.SEGMENTS.
        files: Their open files, in the order of files.MAPPED: see open_file.file_facts().
    """

    release: tuple[int, ...]
    abi: str
    task_size: int
    topdown: bool
    limits: dict[str, Any]
    hard_limits: tuple[int, ...]
    segments: list[int]
    files: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Start:
    """A process as it is after exec.

    Attributes:
        answer: Its maps and counts.
        brk, start_stack: Byte addresses.
        data_size: Bytes.
        sealed: Whether its program is sealed.
        resident: Byte addresses of the pages of its program and stack that are in memory.
        committed: Pages committed to all processes of the machine.
        pools: Pools of huge pages: see huge_pages.engine_pools().
        pools_in_use: Whether others use the pools, too: see huge_pages.KernelPools.
    """

    answer: Answer
    brk: int
    start_stack: int
    data_size: int
    sealed: bool
    resident: list[int]
    committed: int
    pools: list[dict[str, Any]]
    pools_in_use: bool


class Oracle(Protocol):
    """A kernel, and a process that makes calls."""

    @property
    def facts(self) -> Facts:
        """What is the same for all processes."""

    def renew(self) -> Start:
        """Start over with a new address space, and the initial limits and capabilities.

        Raises:
            OutOfReachError: Such a process is impossible here.
        """

    def make(self, operations: Sequence[Calls], expected: Sequence[str]) -> tuple[int, Answer]:
        """Make one or more operations, until an answer is not the expected one.

        Args:
            operations: The calls of each operation.
            expected: The digest of the answer to each; empty to accept any answer.

        Returns:
            How many answers were as expected, and the first that was not; an empty one if all were.

        Raises:
            ChildProcessError: The process ended.
        """

    def substitute(self, number: int, flags: int, where: int) -> dict[str, Any]:
        """Return the facts of a file that a script opens, as it is now; see Substitutes.

        Args:
            number: Number of the file.
            flags: O_RDONLY or others.
            where: ON_DISK or IN_MEMORY.
        """

    def close(self) -> None:
        """End the process; a second call does nothing."""
