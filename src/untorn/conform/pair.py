"""An engine process and a real one that start alike, and must stay alike.

The engine runs ahead, and the kernel catches up later: it may be far away, where a round trip for
each operation would take longer than the operation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from traceback import extract_tb
from typing import Any, Self

from untorn.conform.answer import Answer, answer_of, do_all
from untorn.conform.engine_side import EngineSide
from untorn.conform.files import engine_files, restore_files
from untorn.conform.huge_pages import KernelPools, engine_pools
from untorn.conform.live_oracle import LiveOracle
from untorn.conform.operation import CROWD, Operation, calls_of
from untorn.conform.oracle import Oracle, Start
from untorn.conform.segments import SEGMENTS
from untorn.conform.traced import minimal_elf
from untorn.conform.traced.abi import ABIS, I386, X86_64, Abi
from untorn.errors import OutOfReachError
from untorn.fs.from_maps.address_space import mm_from_maps
from untorn.maps.page import PAGE_SIZE, page_aligned
from untorn.mm.calls.shm import ShmSegment
from untorn.mm.limits import Limits, pick_mmap_base
from untorn.mm.mempolicy import MPOL_DEFAULT, MPOL_LOCAL
from untorn.mm.mm_types import MmStruct, VmaSlab
from untorn.mm.mman import MAP_FIXED, MAP_SHARED, PROT_NONE, VM_DONTCOPY
from untorn.releases.release import Release
from untorn.syscalls import Process

_FAR = 32 << 20
"""Bytes of maps to keep; after that the kernel must catch up."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where engine and kernel first differ, after an operation.

    Attributes:
        number: Number of the operation in its script, from 0.
        expected: What was expected of the kernel's answer, if that was said and not met.
    """

    number: int
    operation: Operation
    engine: Answer
    kernel: Answer
    expected: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "number": self.number,
            "operation": (self.operation.name, self.operation.arguments),
            "engine": self.engine.as_json(),
            "kernel": self.kernel.as_json(),
            "expected": self.expected,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return the mismatch that as_json() turned into these fields."""
        name, arguments = fields["operation"]
        made = {side: Answer.from_json(fields[side]) for side in ("engine", "kernel")}
        return cls(**fields | made | {"operation": Operation(name, tuple(arguments))})


Expectation = Callable[[Answer], str]
"""Called with an answer; returns what was expected and not met, "" if nothing."""


def anything(answer: Answer) -> str:
    """Expect nothing of an answer."""
    return ""


@dataclass(frozen=True, slots=True)
class Done:
    """What the engine has done, and the kernel perhaps not yet.

    Attributes:
        number: Number of the operation in its script, from 0.
        calls: The operation's calls.
        answer: The engine's answer.
        expected: What the outcome must be.
        unmet: What of it the engine did not meet.
        compared: Whether the kernel's answer must be the same.
    """

    number: int
    operation: Operation
    calls: list[Operation]
    answer: Answer
    expected: Expectation = anything
    unmet: str = ""
    compared: bool = True

    @property
    def digest(self) -> str:
        """What the kernel is told to expect: see Oracle.make()."""
        return self.answer.digest() if self.compared else ""

    def parted(self, kernel: Answer) -> Mismatch:
        """Return the mismatch with the kernel's answer."""
        unmet = self.expected(kernel)
        return Mismatch(self.number, self.operation, self.answer, kernel, unmet)


_NODEMASK_OF = {"mbind": 3, "set_mempolicy": 1}
"""Position of the set of nodes among the arguments."""


class Pair:
    """Both sides, with the same files open.

    Attributes:
        engine: The engine's side; renew() replaces it.
        kernel: The oracle; close() closes it.
        files: The engine's open files, by the descriptors that both have.
        hard_limits: By number in LIMITS, in bytes, -1 for none.
        release: The release that the engine follows: see Facts.
        last: The last answer that both gave.
        pools_in_use: Whether others use the huge pages, too: see Start.

    A context manager: leaving it closes it.
    """

    engine: EngineSide
    last: Answer
    pools_in_use: bool

    def __init__(self, kernel: Oracle) -> None:
        self.kernel = kernel
        facts = kernel.facts
        self._abi = ABIS[facts.abi]
        self._limits = Limits(**facts.limits)
        self.files = engine_files(facts.files)
        self._segments = [
            ShmSegment(size, shmid=shmid)
            for size, shmid in zip(SEGMENTS.values(), facts.segments, strict=True)
        ]
        self._truncated: set[int] = set()
        self.hard_limits = tuple(facts.hard_limits)
        self.release = Release(*facts.release)

    @classmethod
    def live(
        cls, abi: Abi = X86_64, *, topdown: bool = True, pools: KernelPools | None = None
    ) -> Self:
        """Return a pair with the running kernel; arguments and exceptions as LiveOracle."""
        return cls(LiveOracle(abi, topdown=topdown, pools=pools))

    def renew(self) -> None:
        """Give both a new address space, and the initial limits and capabilities.

        Raises:
            OutOfReachError: The engine does not know what this kernel maps into a new process.
        """
        start = self.kernel.renew()
        restore_files(self.files, self._truncated)
        try:
            process = Process(self._mm(start))
        except ValueError as error:
            raise OutOfReachError(f"a process starts here unlike the engine's: {error}") from error
        process.files = dict(self.files)
        for page in start.resident:
            process.touch(page, write=page != minimal_elf.BASE)
        self.engine = EngineSide(
            process, self.kernel.substitute, self._segments, sealed=start.sealed
        )
        self._truncated = self.engine.truncated
        self._forget_policies()
        self.last = start.answer
        self.pools_in_use = start.pools_in_use
        self._ahead: list[Done] = []
        self._bytes_ahead = 0
        self._number = 0

    def can(self, operation: Operation) -> bool:
        """Return whether an operation is possible: without a parent there is no exit to it."""
        if operation.name in ("exit", "orphan"):
            return self.engine.generation > 0
        if operation.name == "fork":
            program = self.engine.mm.find_vma(minimal_elf.BASE)
            return program is not None and not program.vm_flags & VM_DONTCOPY
        if operation.name == "mmap" and self._abi is I386:
            return page_aligned(operation.arguments[5])  # mmap2(2) takes pages
        if operation.name in _NODEMASK_OF:
            return operation.arguments[_NODEMASK_OF[operation.name]] in minimal_elf.NODEMASKS
        return True

    @property
    def is_far_ahead(self) -> bool:
        """Whether the engine is so far ahead that the kernel should catch up."""
        return self._bytes_ahead > _FAR

    def go_ahead(
        self, operation: Operation, expected: Expectation = anything, *, check: bool = False
    ) -> bool:
        """Let the engine do an operation, if possible; return whether it can go on.

        Args:
            operation: The operation.
            expected: What the outcome must be, for the engine and for the kernel.
            check: Whether to check the engine's invariants afterwards.

        Raises:
            OutOfReachError: A file that the script opens is impossible here.
        """
        calls = calls_of(self.engine.mm, operation) if self.can(operation) else []
        try:
            answer = answer_of(self.engine, calls)
            if check:
                self.engine.check()
        except OutOfReachError:  # a file of the script is impossible here
            raise
        except Exception as error:  # any other exception is a fault of the engine
            answer = Answer(fault=describe_fault(error))
        unmet = "" if answer.fault else expected(answer)
        self._note(Done(self._number, operation, calls, answer, expected, unmet))
        return not answer.fault and not unmet

    def pass_by(self, operation: Operation) -> bool:
        """Let the engine do an operation without comparing it; return whether it can go on."""
        calls = calls_of(self.engine.mm, operation) if self.can(operation) else []
        try:
            answer = Answer(do_all(self.engine, calls))
        except OutOfReachError:
            raise
        except Exception as error:  # any other exception is a fault of the engine
            answer = Answer(fault=describe_fault(error))
        compared = bool(answer.fault)
        self._note(Done(self._number, operation, calls, answer, compared=compared))
        return not answer.fault

    def catch_up(self) -> tuple[list[Done], Mismatch | None]:
        """Let the kernel do what the engine has done; compare results, maps and counts.

        Returns:
            What agreed, and the first that did not, or was not as expected.

        Raises:
            ChildProcessError: The child ended.
        """
        ahead, self._ahead, self._bytes_ahead = self._ahead, [], 0
        if not ahead:
            return [], None
        calls, digests = [done.calls for done in ahead], [done.digest for done in ahead]
        agreed, kernel = self.kernel.make(calls, digests)
        if agreed < len(ahead):
            return ahead[:agreed], ahead[agreed].parted(kernel)
        self.last = ahead[-1].answer
        if ahead[-1].unmet:
            return ahead[:-1], ahead[-1].parted(self.last)
        return ahead, None

    def step(self, operation: Operation, expected: Expectation = anything) -> Mismatch | None:
        """Do one operation on both sides, and compare: see go_ahead() and catch_up()."""
        self.go_ahead(operation, expected)
        return self.catch_up()[1]

    def check(self, operation: Operation) -> Mismatch | None:
        """Check the engine's invariants, after an operation that agreed."""
        try:
            self.engine.check()
        except Exception as error:
            engine = Answer(fault=describe_fault(error))
            return Mismatch(self._number - 1, operation, engine, self.last)
        return None

    def close(self) -> None:
        """End the child and remove the files."""
        self.kernel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _note(self, done: Done) -> None:
        self._ahead.append(done)
        self._bytes_ahead += len(done.answer.maps)
        self._number += 1

    def _forget_policies(self) -> None:
        """Give files in memory the default policy again: scripts may have set others."""
        for fd, file in self.files.items():
            for first, last in file.mapping.forget_policies():
                where, offset = (CROWD, (last - first) * PAGE_SIZE), first * PAGE_SIZE
                # A policy that the VMA already has changes nothing, so set another one first.
                calls = [
                    Operation("mmap", (*where, PROT_NONE, MAP_SHARED | MAP_FIXED, fd, offset)),
                    Operation("mbind", (*where, MPOL_LOCAL, 0, 0)),
                    Operation("mbind", (*where, MPOL_DEFAULT, 0, 0)),
                    Operation("munmap", where),
                ]
                self.kernel.make([calls], [""])

    def _mm(self, start: Start) -> MmStruct:
        topdown, task_size = self.kernel.facts.topdown, self.kernel.facts.task_size
        mm = mm_from_maps(
            start.answer.maps,
            name="conform",
            mmap_base=pick_mmap_base(self._limits, topdown=topdown, task_size=task_size),
            topdown=topdown,
            task_size=task_size,
            heap=(start.brk, start.brk),
            start_stack=start.start_stack,
            data_size=start.data_size,
            limits=self._limits,
            huge_pools=engine_pools(start.pools),
            release=self.release,
            slab=VmaSlab(),  # a new process must not meet what a fault left in the old one
        )
        # This includes what the process itself has committed.
        mm.vm_committed.pages.add(start.committed - mm.vm_committed.pages.load())
        return mm


def describe_fault(error: Exception) -> str:
    """Return what went wrong and where."""
    frame = extract_tb(error.__traceback__)[-1]
    where = "/".join(frame.filename.split("/")[-2:])
    return f"{type(error).__name__}: {error} ({where}:{frame.lineno} {frame.name})"
