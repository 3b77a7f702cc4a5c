"""An address space of the kernel, and an engine process that is held to stay like it."""

from untorn.conform.kernel_side import COUNTS
from untorn.conform.operation import Operation
from untorn.conform.pair import Answer, Mismatch, describe_fault, learn_inode
from untorn.conform.program.calls import ARGUMENTS, FORKS
from untorn.conform.program.engine_calls import EngineCall
from untorn.conform.program.faults import fault_in, follow_names, follow_stacks
from untorn.conform.program.kernel_memory import KernelMemory
from untorn.conform.program.outcome import ProgramMismatch
from untorn.conform.program.processes import (
    ADDR_NO_RANDOMIZE,
    READ_IMPLIES_EXEC,
    Thread,
)
from untorn.conform.program.takes import take_locked, take_maps
from untorn.conform.program.world import World
from untorn.conform.script_text import result_name
from untorn.conform.traced.member import Layout
from untorn.errors import NotModelledError
from untorn.fs.from_maps.address_space import mm_from_maps
from untorn.mm.limits import Limits, pick_mmap_base
from untorn.mm.mm_types import MmStruct, VmaSlab
from untorn.syscalls import Process

_RESTARTED = range(-516, -511)
"""Results of a call that a signal interrupted, and that is made again. Source: linux/errno.h."""
UNSEEN = "a change that no call made"
RACED = "a thread wrote to a VMA for the first time while another one's call was made"


class Twin:
    """Both.

    Attributes:
        engine: The engine process.
    """

    def __init__(self, world: World, kernel: KernelMemory, engine: Process) -> None:
        self._world, self._kernel = world, kernel
        self.engine = engine
        self._engine_maps = world.maps_of(engine)
        self._text = kernel.maps()
        self._operation: Operation | None = None
        self._call: EngineCall | None = None
        self._unseen = UNSEEN

    @classmethod
    def after_exec(cls, world: World, kernel: KernelMemory, thread: Thread) -> "Twin":
        """Return the twin of a thread that has just begun a program.

        Raises:
            ValueError: Its maps are of what is not modelled.
        """
        process = thread.process
        start_brk = Layout.of(thread.tid).start_brk
        is_fixed = process.personality & ADDR_NO_RANDOMIZE
        base = pick_mmap_base(process.limits_now(world.machine)) if is_fixed else None
        mm = _mm_of(world.machine, kernel, thread, (start_brk, start_brk), base)
        return cls(world, kernel, Process(mm))

    def begin(self, thread: Thread, operation: Operation) -> None:
        """Get ready for a call that a stopped thread is about to make, while no other one is."""
        self._catch_up(thread)
        self._operation, self._call = operation, None
        if operation.name in ARGUMENTS:
            try:
                self._call = self._world.calls.prepare(thread, operation)
            except NotModelledError as error:
                self._operation = Operation(str(error))

    def finish(self, thread: Thread, result: int) -> None:
        """Make the call that the kernel made in the engine, too; compare what came of it.

        Args:
            thread: That made it, stopped.
            result: What the kernel returned, an errno negated.
        """
        mapped = self._engine_maps.files
        self._compare(thread, result)
        if self._world.files.settle(thread) or mapped != self._engine_maps.files:
            self._world.close_files()

    def _compare(self, thread: Thread, result: int) -> None:
        operation, self._operation = self._operation, None
        if operation is None or operation.name in FORKS.values() or result in _RESTARTED:
            return
        before, self._text = self._text, self._kernel.maps()
        if self._call is None:
            self._take(thread, operation.name)
            return
        kernel = Answer(result, self._text, self._kernel.counts(thread))
        try:
            engine = self._answer(operation.name, self._call, kernel)
        except NotModelledError as error:
            self._take(thread, f"{operation.name}: {error}")
            return
        self._judge(thread, before, Mismatch(0, operation, engine, kernel))

    def abandon(self, thread: Thread) -> None:
        """Know that a thread that was to make a call is gone: it was made, or not."""
        self._world.files.settle(thread)
        if self._operation is not None:
            self._unseen = "a call of a thread that died in it"
        self._operation = None

    def fork(self, parent: Thread, child: Thread, kernel: KernelMemory) -> "Twin":
        """Return the twin of a copy of the address space, which a new process has.

        Raises:
            ValueError: The kernel's maps are of what is not modelled.
        """
        run = self._world.run
        try:
            twin = Twin(self._world, kernel, self.engine.fork())
        except NotModelledError as error:
            run.not_modelled[f"fork: {error}"] += 1
            return Twin.after_exec(self._world, kernel, child)
        engine = Answer(0, twin._engine_maps.text(), _counts(twin.engine))
        copied = Answer(0, kernel.maps(), kernel.counts(child))
        if engine == copied:
            run.counts["fork", "ok"] += 1
        else:
            mismatch = Mismatch(0, Operation("fork"), engine, copied)
            run.mismatches.append(ProgramMismatch(parent.tid, self._text, mismatch))
            twin._start_over(child)
        return twin

    def end(self) -> None:
        """End the engine process."""
        self._world.forget(self._engine_maps)
        self.engine.exit()
        self.engine.reap()

    def _catch_up(self, thread: Thread) -> None:
        """Do in the engine what faults did since the last call."""
        self.engine.mm.limits = thread.process.limits_now(self._world.machine)
        before, self._text = self._text, self._kernel.maps()
        if self._text != before and not self._follow(self._text):
            self._take(thread, self._unseen)
        self._unseen = UNSEEN
        fault_in(self.engine, self._kernel.pages)

    def _judge(self, thread: Thread, before: bytes, both: Mismatch) -> None:
        engine, kernel = both.engine, both.kernel
        if engine == kernel or self._grew_meanwhile(kernel, engine):
            self._world.run.counts[both.operation.name, result_name(kernel.result)] += 1
        elif not engine.fault and fault_in(self.engine, self._kernel.pages):
            self._take(thread, RACED)
        else:
            self._world.run.mismatches.append(ProgramMismatch(thread.tid, before, both))
            self._start_over(thread)

    def _answer(self, name: str, call: EngineCall, kernel: Answer) -> Answer:
        try:
            result = _result(call, self.engine)
            if name == "mmap" and result == kernel.result > 0:
                learn_inode(self.engine.mm, result, kernel.maps, self._world.inodes)
            return Answer(result, self._engine_maps.text(), _counts(self.engine))
        except NotModelledError:
            raise
        except Exception as error:  # whichever: it is a fault of the engine
            return Answer(fault=describe_fault(error))

    def _follow(self, text: bytes) -> bool:
        """Follow what may change without a call; say whether the maps are those of text now."""
        follow_stacks(self.engine, text)
        follow_names(self.engine.mm, text)
        return self._engine_maps.text() == text

    def _grew_meanwhile(self, kernel: Answer, engine: Answer) -> bool:
        """Say whether all that differs is the stack of another thread, which grew."""
        return (
            not engine.fault
            and engine.result == kernel.result
            and self._follow(kernel.maps)
            and _counts(self.engine) == kernel.counts
        )

    def _take(self, thread: Thread, what: str) -> None:
        self._world.run.not_modelled[what] += 1
        mm = self.engine.mm
        try:
            take_maps(mm, self._text, self._kernel.facts(thread))
            take_locked(mm, self._kernel.counts(thread)["locked_vm"])
            taken = self._engine_maps.text() == self._text
        except ValueError:
            taken = False
        if not taken:
            self._start_over(thread)

    def _start_over(self, thread: Thread) -> None:
        """Begin again with the kernel's maps. A fault may have left the old engine locked."""
        old = self.engine.mm
        heap = old.start_brk, old.brk
        mm = _mm_of(self._world.machine, self._kernel, thread, heap, old.mmap_base)
        self.engine = Process(mm)
        self._engine_maps = self._world.maps_of(self.engine, self._engine_maps)


def _result(call: EngineCall, process: Process) -> int:
    try:
        return call(process) or 0
    except OSError as error:
        return -(error.errno or 0)


def _counts(process: Process) -> dict[str, int]:
    return {name: getattr(process.mm, name) for name in COUNTS}


def _mm_of(
    machine: Limits,
    kernel: KernelMemory,
    thread: Thread,
    heap: tuple[int, int],
    mmap_base: int | None,
) -> MmStruct:
    """Return an address space of the engine with the maps of a thread's."""
    layout, text = Layout.of(thread.tid), kernel.maps()
    mm = mm_from_maps(
        text,
        name=f"process {thread.process.pid}",
        mmap_base=mmap_base,
        heap=heap,
        start_stack=layout.start_stack,
        data_size=layout.end_data - layout.start_data,
        limits=thread.process.limits_now(machine),
        slab=VmaSlab(),
    )
    mm.read_implies_exec = bool(thread.process.personality & READ_IMPLIES_EXEC)
    take_maps(mm, text, kernel.facts(thread))
    take_locked(mm, kernel.counts(thread)["locked_vm"])
    return mm
