"""An address space of the kernel, and an engine process that must stay like it."""

from untorn.conform.answer import Answer
from untorn.conform.kernel_side import COUNTS
from untorn.conform.operation import Operation
from untorn.conform.pair import Mismatch, describe_fault
from untorn.conform.program.calls import ARGUMENTS, CHANGE_BOUNDS, FORKS, MERGE_ANY
from untorn.conform.program.engine_calls import EngineCall
from untorn.conform.program.engine_mm import mm_after_exec, mm_like
from untorn.conform.program.faults import fault_in, follow_names, follow_stacks
from untorn.conform.program.history import History
from untorn.conform.program.kernel_memory import KernelMemory
from untorn.conform.program.outcome import ProgramMismatch
from untorn.conform.program.processes import Thread, TracedProcess
from untorn.conform.program.takes import take_locked, take_maps
from untorn.conform.program.world import World
from untorn.conform.script_text import result_name
from untorn.errors import NotModelledError
from untorn.mm.file import VmFile
from untorn.mm.mm_types import MmStruct
from untorn.syscalls import Process

_RESTARTED = range(-516, -511)
"""Results of a call that a signal interrupted and that will be repeated. Source: linux/errno.h."""
UNSEEN = "a change that no call made"
DIED = "a call of a thread that died in it"
WAITED = " that waited for another thread"
BESIDE = " beside a call that waited for another thread"
RACED = "a call during which another thread wrote to a VMA for the first time"


class Twin:
    """Both sides.

    Attributes:
        engine: The engine process.
    """

    def __init__(
        self, world: World, kernel: KernelMemory, engine: Process, history: History
    ) -> None:
        self._world, self._kernel = world, kernel
        self.engine, self._history = engine, history
        self._engine_maps = world.maps_of(engine)
        self._text = kernel.maps()
        self._engine_maps.text()
        self._operation: Operation | None = None
        self._call: EngineCall | None = None
        self._unseen = UNSEEN
        self._is_shared = False
        self._never_again = ""

    @classmethod
    def after_exec(cls, world: World, kernel: KernelMemory, thread: Thread) -> "Twin":
        """Return the twin of a thread that has just begun a program.

        Raises:
            ValueError: Its maps have something that is not modelled.
        """
        mm = mm_after_exec(kernel, thread, world.machine)
        return cls(world, kernel, Process(mm), History.of_program(mm, world.machine))

    def begin(self, thread: Thread, operation: Operation) -> None:
        """Prepare for a call that a stopped thread is about to make, while no other call is made.

        Raises:
            ValueError: The kernel's maps have something that is not modelled.
        """
        self._operation, self._call, self._is_shared = None, None, False
        if operation.name in CHANGE_BOUNDS:
            return
        self._catch_up(thread)
        self._operation = operation
        if operation.name in ARGUMENTS:
            try:
                self._call = self._world.calls.prepare(thread, operation)
            except NotModelledError as error:
                self._operation = Operation(str(error))

    def finish(self, thread: Thread, result: int) -> None:
        """Make the kernel's call in the engine, too; compare the outcomes.

        Args:
            thread: The thread that made it; it is stopped.
            result: What the kernel returned; a negated errno if it failed.

        Raises:
            ValueError: As begin().
        """
        operation, self._operation = self._operation, None
        mapped = self._engine_maps.files
        made = operation is not None and operation.name not in FORKS.values()
        if operation is not None and made and result not in _RESTARTED:
            self._compare(thread, operation, result)
        if self._world.files.settle(thread) or mapped != self._engine_maps.files:
            self._world.close_files()

    def abandon(self, thread: Thread) -> None:
        """Record that a thread that was to make a call is gone: nobody knows whether it made it."""
        self._world.files.settle(thread)
        self._unseen = DIED if self._operation is not None else UNSEEN
        self._operation = None

    def share(self) -> None:
        """Record that another call may be made during the present one.

        What each of them did cannot be known: the kernel's maps are taken.
        """
        self._is_shared = True

    def give_way(self, thread: Thread) -> None:
        """Record that other calls are let in before a thread's call has ended."""
        self._operation = None
        if self._world.files.settle(thread):
            self._world.close_files()

    def take_late(self, thread: Thread, operation: Operation) -> None:
        """Record that the call of a thread that gave way has ended.

        Raises:
            ValueError: As begin().
        """
        what = f"{operation.name}{WAITED}"
        if self._operation is not None:  # share() was called: the effect of both is taken later
            self._world.run.not_modelled[what] += 1
            return
        before, self._text = self._text, self._kernel.maps()
        self._take(thread, before, what)

    def fork(self, parent: Thread, child: Thread, kernel: KernelMemory) -> "Twin":
        """Return the twin of the copy of the address space in a new process."""
        copy = Twin(self._world, kernel, _copy_of(self.engine), self._history.copy())
        copy._never_again = self._never_again
        if self._is_shared:
            copy._take(child, self._text, f"fork{BESIDE}")
            return copy
        copy._judge(
            parent,
            self._text,
            Mismatch(
                0,
                Operation("fork"),
                Answer(0, copy._engine_maps.text(), _counts(copy.engine)),
                Answer(0, kernel.maps(), kernel.counts(child)),
            ),
        )
        return copy

    def end(self) -> None:
        """End the engine process."""
        self._world.forget(self._engine_maps, self._history)
        self.engine.exit()
        self.engine.reap()

    def _catch_up(self, thread: Thread) -> None:
        """Repeat in the engine what faults did since the last call."""
        self._bound(thread.process)
        before, self._text = self._text, self._kernel.maps()
        if self._text != before and not self._follow(self._text):
            self._take(thread, before, self._unseen)
        self._unseen = UNSEEN
        self._fault_in()

    def _bound(self, process: TracedProcess) -> None:
        """Apply the limits of the process that makes the calls."""
        limits, mm = process.limits_now(self._world.machine), self.engine.mm
        if mm.limits != limits:
            mm.limits = limits
            self._history.bounded_by(limits)
        mm.read_implies_exec = process.read_implies_exec

    def _fault_in(self) -> bool:
        """Write to VMAs in which the program has now written; return whether there were any."""
        written = fault_in(self.engine, self._engine_maps.writable, self._kernel.pages)
        self._history.touch(written)
        return bool(written)

    def _compare(self, thread: Thread, operation: Operation, result: int) -> None:
        before, self._text = self._text, self._kernel.maps()
        reason = BESIDE if self._is_shared else self._never_again
        if self._call is None or reason:
            self._take(thread, before, f"{operation.name}{reason}")
            if operation.name == MERGE_ANY and result == 0:
                self._never_again = f" after {MERGE_ANY}"  # new memory has flags that ours lacks
            return
        kernel = Answer(result, self._text, self._kernel.counts(thread))
        try:
            engine = self._answer(operation.name, self._call, kernel)
        except NotModelledError as error:
            self._take(thread, before, f"{operation.name}: {error}")
            return
        told = self._history.call(operation, result, self._call)
        agreed = self._judge(thread, before, Mismatch(0, operation, engine, kernel))
        if agreed and not told:
            self._history.follow(before, self.engine.mm)

    def _judge(self, thread: Thread, before: bytes, both: Mismatch) -> bool:
        """Count a call that agreed, and return whether it did; keep a mismatch, and start over."""
        engine, kernel = both.engine, both.kernel
        if engine == kernel or self._grew_meanwhile(kernel, engine):
            self._world.run.counts[both.operation.name, result_name(kernel.result)] += 1
            return True
        if not engine.fault and self._fault_in():
            self._take(thread, before, RACED)
            return False
        script = list(self._history.operations)
        self._world.run.mismatches.append(ProgramMismatch(thread.tid, before, both, script))
        self._start_over(thread, before)
        return False

    def _answer(self, name: str, call: EngineCall, kernel: Answer) -> Answer:
        """Make a call in the engine. Raises NotModelledError as that does."""
        try:
            result = _result(call, self.engine)
            if name == "mmap" and result == kernel.result > 0:
                _learn_inode(self.engine.mm, result, kernel.maps, self._world.inodes)
            return Answer(result, self._engine_maps.text(), _counts(self.engine))
        except NotModelledError:
            raise
        except Exception as error:  # any other exception is a fault of the engine
            return Answer(fault=describe_fault(error))

    def _follow(self, text: bytes) -> bool:
        """Follow what may change without a call; return whether the maps now equal text."""
        self._history.touch(follow_stacks(self.engine, text))
        follow_names(self.engine.mm, text)
        self._engine_maps.renamed()
        return self._engine_maps.text() == text

    def _grew_meanwhile(self, kernel: Answer, engine: Answer) -> bool:
        """Return whether the only difference is another thread's stack, which grew."""
        return (
            not engine.fault
            and engine.result == kernel.result
            and self._follow(kernel.maps)
            and _counts(self.engine) == kernel.counts
        )

    def _take(self, thread: Thread, before: bytes, what: str) -> None:
        """Take the kernel's maps; count the reason."""
        self._world.run.not_modelled[what] += 1
        mm = self.engine.mm
        try:
            take_maps(mm, self._text, self._kernel.facts(thread))
            take_locked(mm, self._kernel.counts(thread)["locked_vm"])
            taken = self._engine_maps.text() == self._text
        except ValueError:
            taken = False
        if taken:
            self._history.follow(before, mm)
        else:
            self._start_over(thread, before)

    def _start_over(self, thread: Thread, before: bytes) -> None:
        """Start over from the kernel's maps. A fault may have left the old engine locked."""
        mm = mm_like(self.engine.mm, self._kernel, thread, self._world.machine)
        self.engine = Process(mm)
        self._engine_maps = self._world.maps_of(self.engine, self._engine_maps)
        self._engine_maps.text()
        self._history.follow(before, mm)


def _copy_of(process: Process) -> Process:
    """Return the copy that a fork makes, including drivers' mappings.

    The engine refuses to copy these, because it does not know which are copied. Here their flags
    came from smaps, and say so.
    """
    mm = process.mm
    has_drivers, mm.has_drivers = mm.has_drivers, False
    try:
        copy = process.fork()
    finally:
        mm.has_drivers = has_drivers
    copy.mm.has_drivers = has_drivers
    return copy


def _result(call: EngineCall, process: Process) -> int:
    try:
        return call.make(process) or 0
    except OSError as error:
        return -(error.errno or 0)


def _counts(process: Process) -> dict[str, int]:
    return {name: getattr(process.mm, name) for name in COUNTS}


def _learn_inode(mm: MmStruct, addr: int, text: bytes, known: set[int]) -> None:
    """Give the engine's new shared memory at addr, if there is any, the kernel's inode number.

    Only a number that no other memory has: else a wrongly shared inode could not be seen.

    Args:
        mm: The engine's.
        addr: Byte address.
        text: The kernel's maps.
        known: Numbers already given; afterwards one more.
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
    """Return whether a file is created by its mapping, and exists nowhere else."""
    return file.is_anon_shmem or file.huge is not None
