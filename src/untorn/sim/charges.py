"""Virtual time charged from outside: production functions that cost time when they are done.

The time passes right before the function returns, under the locks held then: that of the VMA that
was shown or queried, or mmap_lock for writing where something is mapped or unmapped.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, Protocol

from untorn.fs.proc import do_procmap_query
from untorn.fs.proc.maps import ProcMapsFile
from untorn.fs.proc.smaps import ProcSmaps
from untorn.fs.proc.smaps_gather import MemSizeStats, smap_gather_stats
from untorn.fs.proc.task_mmu import ProcMaps
from untorn.fs.seq_file import SeqFile
from untorn.locking.replaced import replaced
from untorn.locking.rwsem import RwSemaphore
from untorn.maps.page import PAGE_SHIFT
from untorn.mm.calls.munmap import MunmapVmas, clear_munmap_vmas, free_munmap_vmas
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.page_table import NONE
from untorn.mm.pages.gup import populate_vma_page_range
from untorn.mm.vma_lock import vma_start_read, vma_start_read_locked
from untorn.mm.vmas.merge import vma_merge_new_range
from untorn.sim.costs import Costs
from untorn.syscalls import Process


class Clockwork(Protocol):
    """The simulation that is charged."""

    def burn(self, ns: float) -> None:
        """Let the running job take some time."""

    def enter_kernel(self) -> None:
        """Let the running job begin a system call."""

    def cond_resched(self) -> None:
        """Let it give up the CPU in the kernel, if it should."""

    def leave_kernel(self) -> None:
        """Let it return from the system call."""


def _walked(costs: Costs, _: object, mss: MemSizeStats, vma: Vma, start: int) -> float:
    parts = vma.vm_mm.page_table.parts(start, vma.vm_end)
    met = sum(part.last - part.first for part in parts)
    none = sum(part.table.ptes.count(NONE, part.first, part.last) for part in parts)
    return (met - none) * costs.page_present + none * costs.page_none


def _unmapped(costs: Costs, _: None, mm: MmStruct, going: MunmapVmas) -> float:
    return len(going.vmas) * costs.munmap


def _freed(costs: Costs, _: None, mm: MmStruct, going: MunmapVmas) -> float:
    return (going.end - going.start >> PAGE_SHIFT) * costs.free_page if going.vmas else 0


def _populated(costs: Costs, _: bool, mm: MmStruct, vma: Vma, start: int, end: int) -> float:
    return (end - start >> PAGE_SHIFT) * costs.populate


class Charge(NamedTuple):
    """A function or (of a class) method that is charged.

    Attributes:
        function: The function.
        ns: Computes the ns from the costs, what it returned, and its arguments.
        is_syscall: Whether it is a system call.
        resched: Whether it ends with cond_resched(), an offer to give up the CPU.
    """

    function: Any
    ns: Callable[..., float]
    is_syscall: bool = False
    resched: bool = False


CHARGES = (
    Charge(Process.mmap, lambda costs, *_: costs.syscall, True),
    Charge(Process.munmap, lambda costs, *_: costs.syscall, True),
    Charge(SeqFile.seek, lambda costs, *_: costs.syscall, True),
    Charge(SeqFile.read, lambda costs, data, *_: costs.syscall + costs.fill * bool(data), True),
    Charge(ProcMapsFile.procmap_query, lambda costs, *_: costs.syscall, True),
    Charge(ProcMaps.show, lambda costs, *_: costs.maps_line),
    Charge(ProcSmaps.show, lambda costs, *_: costs.smaps_vma),
    Charge(smap_gather_stats, _walked, resched=True),
    Charge(do_procmap_query._answer, lambda costs, *_: costs.query),
    Charge(RwSemaphore.down_read, lambda costs, *_: costs.mmap_lock),
    Charge(RwSemaphore.down_write, lambda costs, *_: costs.mmap_lock),
    Charge(vma_start_read, lambda costs, *_: costs.vma_lock),
    Charge(vma_start_read_locked, lambda costs, *_: costs.vma_lock),
    Charge(vma_merge_new_range, lambda costs, *_: costs.mmap),
    Charge(clear_munmap_vmas, _unmapped),
    Charge(free_munmap_vmas, _freed),
    Charge(populate_vma_page_range, _populated),
)


@contextmanager
def charged(costs: Costs, clockwork: Clockwork) -> Iterator[None]:
    """Let all of CHARGES take their time, from any caller."""
    with ExitStack() as stack:
        for function, ns, is_syscall, resched in CHARGES:
            ours = _charging(function, partial(ns, costs), clockwork, resched=resched)
            if is_syscall:
                ours = _in_kernel(ours, clockwork)
            for owner, name in _places(function):
                stack.enter_context(replaced(owner, {name: ours}))
        yield


def _charging(
    function: FunctionType, ns: Callable[..., float], clockwork: Clockwork, *, resched: bool
) -> Callable[..., Any]:
    burn = clockwork.burn

    @wraps(function)
    def charging(*arguments: Any, **keywords: Any) -> Any:
        result = function(*arguments, **keywords)
        burn(ns(result, *arguments))
        if resched:
            clockwork.cond_resched()
        return result

    return charging


def _in_kernel(function: Callable[..., Any], clockwork: Clockwork) -> Callable[..., Any]:
    @wraps(function)
    def in_kernel(*arguments: Any) -> Any:
        clockwork.enter_kernel()
        try:
            return function(*arguments)
        finally:
            clockwork.leave_kernel()

    return in_kernel


def _places(function: FunctionType) -> Iterator[tuple[ModuleType | type, str]]:
    """Yield the namespaces that have a function: its class, or each module of ours that uses it."""
    *classes, name = function.__qualname__.split(".")
    if classes:
        yield getattr(sys.modules[function.__module__], *classes), name
        return
    for path, module in list(sys.modules.items()):
        if path.startswith("untorn.") and vars(module).get(name) is function:
            yield module, name
