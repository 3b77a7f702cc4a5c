"""Find the layout of an address space from the text of maps. See address_space.py.

The text shows whether a process has 32 bits only by addresses: that of [stack], or any above 4 GiB,
such as that of [vsyscall]. If neither helps, the caller has to say. Only a mapping above TASK_SIZE
shows that page tables have five levels. Without one, and if the caller does not say so, four levels
are assumed.
"""

from untorn.fs.from_maps.lines import NumberedLine, refusal
from untorn.maps.page import (
    IA32_PAGE_OFFSET,
    IA32_PAGE_OFFSET_3GB,
    TASK_SIZE,
    TASK_SIZE_5LEVEL,
    UINT_MAX,
)
from untorn.mm.limits import Limits, largest_shift, legacy_base, pick_mmap_base

HEAP, STACK = b"[heap]", b"[stack]"
_WORD = 8
_TASK_SIZES = {
    "TASK_SIZE": TASK_SIZE,
    "TASK_SIZE_5LEVEL": TASK_SIZE_5LEVEL,
    "IA32_PAGE_OFFSET": IA32_PAGE_OFFSET,
    "IA32_PAGE_OFFSET_3GB": IA32_PAGE_OFFSET_3GB,
}
_HOW = "task_size=IA32_PAGE_OFFSET (0xffffe000), or TASK_SIZE (0x7ffffffff000)"
_STACK_SHIFT = 8 << 20
"""The most bytes that randomization moves a 32-bit stack. Source: arch/x86/include/asm/elf.h."""


def choose_task_size(lines: list[NumberedLine], *, gate: bool, given: int | None) -> int:
    """Return the first byte address that the process cannot use.

    Args:
        lines: All lines but that of the gate VMA.
        gate: Whether there is a gate VMA.
        given: The address that the caller gives; None if it gives none.

    Raises:
        ValueError: The text contradicts the caller, or neither of them tells the address.
    """
    if given is None:
        return _task_size_of(lines, gate=gate)
    if given not in _TASK_SIZES.values():
        known = ", ".join(f"{name} ({size:#x})" for name, size in _TASK_SIZES.items())
        raise ValueError(f"task_size={given:#x} is not modelled; the engine knows {known}")
    if gate and given <= UINT_MAX:
        raise ValueError(f"the maps end with [vsyscall]: no process of task_size={given:#x} has it")
    for line in lines:
        if line.entry.end > given:
            reason = f"is above what a process of task_size={given:#x} may map"
            raise refusal(line.number, line.text, reason)
    return given


def _task_size_of(lines: list[NumberedLine], *, gate: bool) -> int:
    if lines and lines[-1].entry.end > TASK_SIZE:
        return TASK_SIZE_5LEVEL
    if gate or not lines or lines[-1].entry.end > UINT_MAX:
        return TASK_SIZE
    for size in (IA32_PAGE_OFFSET_3GB, IA32_PAGE_OFFSET):
        tops = [line.entry.end for line in lines if line.entry.name == STACK]
        if lines[-1].entry.end <= size and tops and max(tops) >= size - _STACK_SHIFT:
            return size
    raise ValueError(
        "all lines are below 4 GiB, and neither [stack] nor [vsyscall] tells whether the process"
        f" has 32 bits: say so with {_HOW}"
    )


def does_read_imply_exec(lines: list[NumberedLine], task_size: int) -> bool:
    """Return whether the process runs under READ_IMPLIES_EXEC.

    A 32-bit program without a PT_GNU_STACK header does: all its readable memory is executable,
    except special mappings. A program that only asks for an executable stack has other memory that
    is readable and not executable.

    Source: arch/x86/include/asm/elf.h, elf_read_implies_exec().
    """
    entries = [line.entry for line in lines if not line.entry.name.startswith(b"[vvar")]
    readable = [entry for entry in entries if entry.readable]
    has_stack = any(entry.name == STACK for entry in entries)
    return task_size <= UINT_MAX and has_stack and all(entry.executable for entry in readable)


def find_mmap_base(
    lines: list[NumberedLine], limits: Limits, task_size: int, *, topdown: bool
) -> int:
    """Return the end (bottom up: the start) of the placed mappings nearest to mmap_base.

    Only addresses count that randomization can have moved mmap_base to. Mappings above the stack do
    not count: the vdso may be placed there separately.
    """
    base = pick_mmap_base(limits, topdown=topdown, task_size=task_size)
    shift = largest_shift(task_size)
    entries = [line.entry for line in lines]
    if topdown:
        stacks = [entry.start for entry in entries if entry.name == STACK]
        top = min(base, *stacks) if stacks else base
        ends = [entry.end for entry in entries if base - shift <= entry.end <= top]
        return max(ends, default=base)
    starts = [entry.start for entry in entries if base <= entry.start <= base + shift]
    return min(starts, default=base)


def find_legacy_base(mmap_base: int, limits: Limits, task_size: int) -> int:
    """Return where the bottom-up search begins if nothing is free below mmap_base.

    Randomization moves this address up by as much as it moves mmap_base down. (That is not exact if
    the distance between mmap_base and the stack is neither the smallest nor the largest. But then
    it makes no difference: everything above is free or was tried already.)
    """
    shift = pick_mmap_base(limits, task_size=task_size) - mmap_base
    return legacy_base(task_size) + max(shift, 0)


def find_heap(lines: list[NumberedLine]) -> tuple[int, int]:
    """Return start_brk and brk: the bounds of the lines named [heap]."""
    heaps = [line.entry for line in lines if line.entry.name == HEAP]
    return (heaps[0].start, heaps[-1].end) if heaps else (0, 0)


def find_start_stack(lines: list[NumberedLine]) -> int:
    """Return a stack pointer that all lines named [stack] contain or touch; there may be two."""
    stacks = [line.entry for line in lines if line.entry.name == STACK]
    if not stacks:
        return 0
    return stacks[0].end - _WORD if len(stacks) == 1 else stacks[-1].start
