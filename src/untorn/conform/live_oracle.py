"""The running kernel as the oracle: a traced child makes the calls."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from typing import Any

from untorn.conform.answer import Answer, answer_of, do_all
from untorn.conform.files import FDS, open_files, restore_file
from untorn.conform.huge_pages import KernelPools
from untorn.conform.kernel_side import KernelSide
from untorn.conform.operation import LIMITS
from untorn.conform.oracle import Calls, Facts, Start
from untorn.conform.running_kernel import task_size_of
from untorn.conform.segments import make_segments
from untorn.conform.substitutes import Substitutes
from untorn.conform.traced.abi import X86_64, Abi
from untorn.conform.traced.bounds import limits_of, meminfo_pages, sysctl
from untorn.conform.traced.minimal_child import FIRST_FD, MinimalChild
from untorn.conform.traced.open_file import file_facts
from untorn.releases.release import modelled


class LiveOracle:
    """See Oracle.

    Attributes:
        child: The child that makes the calls.
        side: The kernel's side, which drives it.
        facts: See Oracle.
    """

    def __init__(
        self, abi: Abi = X86_64, *, topdown: bool = True, pools: KernelPools | None = None
    ) -> None:
        """Start the child.

        Args:
            abi: The ABI of its program.
            topdown: False to place its mappings from the bottom up, as vm.legacy_va_layout does for
                all.
            pools: The machine's pools, which the oracle then closes; None to use them as they are
                now.

        Raises:
            OutOfReachError: This machine does not allow such a child.
        """
        with ExitStack() as stack:
            descriptors = open_files(stack)
            self.child = MinimalChild(tuple(descriptors), abi=abi, topdown=topdown)
            stack.enter_context(self.child)
            pools = stack.enter_context(closing(pools or KernelPools()))
            self._substitutes = stack.enter_context(closing(Substitutes()))
            self._descriptors = descriptors
            self._shmids = make_segments(stack)
            self.side = KernelSide(self.child, pools, self._substitutes, self._shmids)
            self.facts = Facts(
                release=modelled(None),
                abi=abi.name,
                task_size=task_size_of(abi),
                topdown=topdown and not sysctl("legacy_va_layout"),
                limits=asdict(limits_of(self.child)),
                hard_limits=tuple(self.child.hard_limit(name) for name in LIMITS),
                segments=self._shmids,
                files=list(map(file_facts, descriptors[2:])),
            )
            self._closing = stack.pop_all()

    def renew(self) -> Start:
        """See Oracle."""
        self.child.renew()
        self.side.pools.look()
        for fd in self.side.truncated & set(FDS.values()):
            restore_file(self._descriptors[fd - FIRST_FD])
        self.side = KernelSide(self.child, self.side.pools, self._substitutes, self._shmids)
        start_stack, data_size = self.child.layout()
        answer = answer_of(self.side, ())
        return Start(
            answer,
            self.child.call("brk", 0),
            start_stack,
            data_size,
            self.child.sealed,
            self.child.resident(),
            meminfo_pages("Committed_AS"),
            self.side.pools.facts(),
            self.side.pools.in_use,
        )

    def make(self, operations: Sequence[Calls], expected: Sequence[str]) -> tuple[int, Answer]:
        """See Oracle."""
        for number, (calls, digest) in enumerate(zip(operations, expected, strict=True)):
            if not digest:
                do_all(self.side, calls)
                continue
            answer = answer_of(self.side, calls)
            if answer.digest() != digest:
                return number, answer
        return len(operations), Answer()

    def substitute(self, number: int, flags: int, where: int) -> dict[str, Any]:
        """See Oracle."""
        return self._substitutes.facts(number, flags, where)

    def close(self) -> None:
        """End the child and remove its files."""
        self._closing.close()
