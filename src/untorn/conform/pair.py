"""An engine process and a real one that start alike, and are held to stay alike."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from traceback import extract_tb
from typing import Protocol, Self

from untorn.conform.engine_side import EngineSide
from untorn.conform.files import engine_files, open_files
from untorn.conform.huge_pages import KernelPools
from untorn.conform.kernel_side import KernelSide
from untorn.conform.operation import LIMITS, Operation, calls_of
from untorn.conform.running_kernel import task_size_of
from untorn.conform.substitutes import Substitutes
from untorn.conform.traced import minimal_elf
from untorn.conform.traced.abi import I386, X86_64, Abi
from untorn.conform.traced.bounds import limits_of, sysctl
from untorn.conform.traced.minimal_child import MinimalChild
from untorn.errors import OutOfReachError
from untorn.fs.from_maps.address_space import mm_from_maps
from untorn.maps.page import page_aligned
from untorn.mm.file import VmFile
from untorn.mm.limits import pick_mmap_base
from untorn.mm.mm_types import MmStruct, VmaSlab
from untorn.mm.mman import MAP_HUGETLB, MAP_SHARED, VM_DONTCOPY
from untorn.syscalls import Process


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
        expected: What the kernel's answer ought to have been, where that was said and is not so.
    """

    number: int
    operation: Operation
    engine: Answer
    kernel: Answer
    expected: str = ""


Expectation = Callable[[Answer], str]
"""Is told an answer, and says what was expected and did not come; "" if nothing."""


def anything(answer: Answer) -> str:
    """Expect nothing of an answer."""
    return ""


class Side(Protocol):
    """What both sides offer."""

    def do(self, operation: Operation) -> int:
        """Do an operation; return its result, an errno negated."""

    def maps(self) -> bytes:
        """Return the text of maps."""

    def counts(self) -> dict[str, int]:
        """Return pages by kind."""


class Pair:
    """Both sides, with the same files open.

    Attributes:
        engine: The engine's; replaced by renew().
        kernel: The kernel's.
        files: What the engine has open, by the descriptors that both have.
        hard_limits: By number in LIMITS, in bytes, -1 for none.
        last: The answer that both gave last.

    A context manager: leaving it ends the child and removes the files.
    """

    engine: EngineSide
    last: Answer

    def __init__(
        self, abi: Abi = X86_64, *, topdown: bool = True, pools: KernelPools | None = None
    ) -> None:
        """Start both.

        Args:
            abi: What their program is compiled for.
            topdown: False if their mappings are to be placed from the bottom up, as they are
                anyway where vm.legacy_va_layout is set.
            pools: Those of the machine, which it closes; None: as they are now.

        Raises:
            OutOfReachError: No such child can be had on this machine.
        """
        with ExitStack() as stack:
            descriptors = open_files(stack)
            self.files = engine_files(descriptors)
            child = MinimalChild(tuple(descriptors), abi=abi, topdown=topdown)
            stack.enter_context(child)
            pools = stack.enter_context(closing(pools or KernelPools()))
            self._substitutes = stack.enter_context(closing(Substitutes()))
            self.kernel = KernelSide(child, pools, self._substitutes)
            self._abi, self._task_size = abi, task_size_of(abi)
            self._topdown = topdown and not sysctl("legacy_va_layout")
            self._limits = limits_of(child)
            self.hard_limits = tuple(child.hard_limit(name) for name in LIMITS)
            self._closing = stack.pop_all()

    def renew(self) -> None:
        """Give both a new address space, and the limits and capabilities of the start.

        Raises:
            OutOfReachError: The engine does not know what this kernel maps for a new process.
        """
        self.kernel.child.renew()
        text = self.kernel.maps()
        try:
            process = Process(self._mm(text))
        except ValueError as error:
            raise OutOfReachError(
                f"a process starts here as none of the engine's: {error}"
            ) from error
        process.files = dict(self.files)
        self.engine = EngineSide(process, self._substitutes, sealed=self.kernel.child.sealed)
        self.last = Answer(0, text, self.kernel.counts())
        self._inodes: set[int] = set()
        self._number = 0

    def can(self, operation: Operation) -> bool:
        """Say whether an operation can be done at all: without a parent there is no exit to it."""
        if operation.name in ("exit", "orphan"):
            return self.engine.generation > 0
        if operation.name == "fork":
            program = self.engine.mm.find_vma(minimal_elf.BASE)
            return program is not None and not program.vm_flags & VM_DONTCOPY
        if operation.name == "mmap" and self._abi is I386:
            return page_aligned(operation.arguments[5])  # mmap2(2) takes pages
        return True

    def step(self, operation: Operation, expected: Expectation = anything) -> Mismatch | None:
        """Do one operation on both, unless it cannot be; compare results, maps and counts.

        Args:
            operation: What both do.
            expected: What else must come out.

        Raises:
            ChildProcessError: The child ended.
        """
        calls = calls_of(self.engine.mm, operation) if self.can(operation) else []
        kernel = _answer(self.kernel, calls)
        try:
            engine = self._engine_answer(calls, kernel)
        except Exception as error:  # whichever: it is a fault of the engine
            engine = Answer(fault=describe_fault(error))
        self._number += 1
        unmet = expected(kernel)
        if engine == kernel and not unmet:
            self.last = kernel
            return None
        return Mismatch(self._number - 1, operation, engine, kernel, unmet)

    def pass_by(self, operation: Operation) -> Answer | None:
        """Do one operation on both, and compare nothing; return the answer of an engine's fault.

        Raises:
            ChildProcessError: The child ended.
        """
        calls = calls_of(self.engine.mm, operation) if self.can(operation) else []
        kernel = _do(self.kernel, calls)
        self._number += 1
        try:
            result = _do(self.engine, calls)
            if result == kernel and _may_have_no_name(operation):
                learn_inode(self.engine.mm, result, self.kernel.maps(), self._inodes)
        except Exception as error:  # whichever: it is a fault of the engine
            return Answer(fault=describe_fault(error))
        return None

    def check(self, operation: Operation) -> Mismatch | None:
        """Check the engine against itself, after an operation that agreed."""
        try:
            self.engine.check()
        except Exception as error:
            engine = Answer(fault=describe_fault(error))
            return Mismatch(self._number - 1, operation, engine, self.last)
        return None

    def close(self) -> None:
        """End the child and remove the files."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _mm(self, text: bytes) -> MmStruct:
        brk = self.kernel.child.call("brk", 0)
        start_stack, data_size = self.kernel.child.layout()
        return mm_from_maps(
            text,
            name="conform",
            mmap_base=pick_mmap_base(
                self._limits, topdown=self._topdown, task_size=self._task_size
            ),
            topdown=self._topdown,
            task_size=self._task_size,
            heap=(brk, brk),
            start_stack=start_stack,
            data_size=data_size,
            limits=self._limits,
            huge_pools=self.kernel.pools.for_engine(),
            slab=VmaSlab(),  # a new process must not meet what a fault left behind
        )

    def _engine_answer(self, calls: list[Operation], kernel: Answer) -> Answer:
        result = _do(self.engine, calls)
        if calls and result == kernel.result and result >= 0 and calls[-1].name == "mmap":
            learn_inode(self.engine.mm, result, kernel.maps, self._inodes)
        return Answer(result, self.engine.maps(), self.engine.counts())


def learn_inode(mm: MmStruct, addr: int, text: bytes, known: set[int]) -> None:
    """Give new shared memory of the engine's, if that is at addr, the kernel's inode number.

    Only one that no other memory has: which lines share an inode is not for the engine to pick.

    Args:
        mm: The engine's.
        addr: Byte address.
        text: The kernel's maps.
        known: Numbers that are given already; one more afterwards.
    """
    vma = mm.mm_mt.find(addr)
    at = (b"\n" + text).find(b"\n%08x-" % addr)
    if at < 0 or vma is None or vma.vm_file is None or not _has_no_name(vma.vm_file):
        return
    inode = int(text[at : text.index(b"\n", at)].split()[4])
    if inode not in known:
        known.add(inode)
        vma.vm_file.inode = inode


def _has_no_name(file: VmFile) -> bool:
    """Say whether a file comes into being with its mapping, and is nowhere else."""
    return file.is_anon_shmem or file.huge is not None


def _may_have_no_name(operation: Operation) -> bool:
    return operation.name == "mmap" and bool(operation.arguments[3] & (MAP_SHARED | MAP_HUGETLB))


def _do(side: Side, calls: list[Operation]) -> int:
    """Do all, up to one that fails; return the last result."""
    result = 0
    for call in calls:
        result = side.do(call)
        if result < 0:
            break
    return result


def _answer(side: Side, calls: list[Operation]) -> Answer:
    return Answer(_do(side, calls), side.maps(), side.counts())


def describe_fault(error: Exception) -> str:
    """Say what went wrong and where."""
    frame = extract_tb(error.__traceback__)[-1]
    where = "/".join(frame.filename.split("/")[-2:])
    return f"{type(error).__name__}: {error} ({where}:{frame.lineno} {frame.name})"
