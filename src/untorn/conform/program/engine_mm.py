"""Make an address space of the engine that equals that of a traced thread."""

from untorn.conform.program.kernel_memory import KernelMemory
from untorn.conform.program.processes import ADDR_NO_RANDOMIZE, Thread
from untorn.conform.program.takes import huge_devices, take_locked, take_maps
from untorn.conform.traced.member import Layout
from untorn.fs.from_maps.address_space import mm_from_maps
from untorn.mm.limits import Limits, pick_mmap_base
from untorn.mm.mm_types import MmStruct, VmaSlab


def mm_after_exec(kernel: KernelMemory, thread: Thread, machine: Limits) -> MmStruct:
    """Return the engine's address space for a thread that has just begun a program.

    Raises:
        ValueError: Its maps have something that is not modelled.
    """
    process, start_brk = thread.process, Layout.of(thread.tid).start_brk
    is_fixed = process.personality & ADDR_NO_RANDOMIZE
    base = pick_mmap_base(process.limits_now(machine)) if is_fixed else None
    return _mm_of(kernel, thread, machine, (start_brk, start_brk), base)


def mm_like(old: MmStruct, kernel: KernelMemory, thread: Thread, machine: Limits) -> MmStruct:
    """Return a new address space for a thread whose old one is wrong; raises as mm_after_exec()."""
    return _mm_of(kernel, thread, machine, (old.start_brk, old.brk), old.mmap_base)


def _mm_of(
    kernel: KernelMemory,
    thread: Thread,
    machine: Limits,
    heap: tuple[int, int],
    mmap_base: int | None,
) -> MmStruct:
    layout, text, facts = Layout.of(thread.tid), kernel.maps(), kernel.facts(thread)
    mm = mm_from_maps(
        text,
        name=f"process {thread.process.pid}",
        mmap_base=mmap_base,
        heap=heap,
        start_stack=layout.start_stack,
        data_size=layout.end_data - layout.start_data,
        limits=thread.process.limits_now(machine),
        hugetlb=huge_devices(text, facts),
        slab=VmaSlab(),  # it must not meet what a fault left behind
    )
    mm.read_implies_exec = thread.process.read_implies_exec
    take_maps(mm, text, facts)
    take_locked(mm, kernel.counts(thread)["locked_vm"])
    return mm
