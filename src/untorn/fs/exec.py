"""Set up the address space of a new program, with its arguments on its stack.

Compare fs/exec.c:bprm_mm_init(), copy_strings(), setup_arg_pages();
fs/binfmt_elf.c:create_elf_tables().
"""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from untorn.errors import os_error
from untorn.fs.binfmt_elf import Program, load_elf_binary
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE, TASK_SIZE, page_align
from untorn.mm.calls.brk import VM_DATA_DEFAULT
from untorn.mm.calls.exit import mmput
from untorn.mm.calls.mmap import store_new_vma
from untorn.mm.limits import Limits, pick_mmap_base, stack_top_max
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import VM_ACCOUNT, VM_GROWSDOWN, VM_WRITE
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.pages.memory import handle_mm_fault
from untorn.mm.vmas.accounting import may_expand_vm, vma_account
from untorn.mm.vmas.merge import Attributes
from untorn.mm.vmas.vdso import map_vdso
from untorn.releases.changes import RSEQ_AUXILIARY

STACK_TOP = TASK_SIZE
_STACK_EXPAND = 128 << 10
"""How many bytes a new stack has beyond its arguments."""
_MAX_ARG_STRLEN = 32 * PAGE_SIZE
_LEAST_ARGUMENTS, _MOST_ARGUMENTS = 32 * PAGE_SIZE, 6 << 20
_WORD = 8
_AUXILIARY_ENTRIES = 21
"""Entries of Linux 6.1 on x86-64, including AT_NULL. Source: getauxval(3)."""
_RSEQ_ENTRIES = 2
_PLATFORM_AND_RANDOM = len(b"x86_64\0") + 16


def exec_mm(
    mm: MmStruct,
    program: Program,
    argv: Sequence[bytes],
    envp: Sequence[bytes],
    *,
    interpreter: Program | None = None,
    filename: bytes | None = None,
) -> MmStruct:
    """Return the address space that a program starts with, without randomization.

    Args:
        mm: The address space that it replaces. Its limits and kind of layout stay.
        program: The program to execute.
        argv: Its arguments, without NULs.
        envp: Its environment.
        interpreter: The program interpreter that it names, if any.
        filename: The path that execve(2) was called with; None for the path of the program's file.

    Raises:
        OSError: E2BIG if the arguments take too much room; otherwise as mmap(2). Linux kills the
            process where this function raises the latter.

    Source: execve(2).
    """
    argv = argv or [b""]
    strings = [filename or program.file.path, *argv, *envp]
    _check_strings(mm.limits, strings, len(argv) + len(envp))
    arguments = STACK_TOP - _WORD - sum(len(string) + 1 for string in strings)
    new = _empty_like(mm)
    try:
        with _write_locked(new):
            setup_arg_pages(new, arguments)
        load_elf_binary(new, program, interpreter)
        with _write_locked(new):
            map_vdso(new)
            new.start_stack = _stack_pointer(new, arguments, len(argv), len(envp))
        for page in range(new.start_stack & -PAGE_SIZE, STACK_TOP, PAGE_SIZE):
            handle_mm_fault(new, page, VM_WRITE)
    except BaseException:
        mmput(new)
        raise
    return new


def _empty_like(mm: MmStruct) -> MmStruct:
    return MmStruct(
        mm.name,
        limits=mm.limits,
        mmap_base=pick_mmap_base(mm.limits, topdown=mm.topdown),
        topdown=mm.topdown,
        task_size=max(mm.task_size, TASK_SIZE),
        gate_vma=mm.gate_vma,
        gate_vma_flags=mm.gate_vma_flags,
        slab=mm.vm_area_cachep,
        release=mm.release,
        huge_pools=mm.huge_pools,
        vm_committed=mm.vm_committed,
    )


@contextmanager
def _write_locked(mm: MmStruct) -> Iterator[None]:
    mmap_write_lock(mm)
    try:
        yield
    finally:
        mmap_write_unlock(mm)


def setup_arg_pages(mm: MmStruct, arguments: int) -> None:
    """Map the stack. It holds the arguments, from this byte address on, and some room below.

    Preconditions: mmap_lock held for write; nothing is mapped.

    Raises:
        OSError: ENOMEM if RLIMIT_AS would be exceeded.
    """
    needed = STACK_TOP - (arguments & -PAGE_SIZE)
    room = min(mm.limits.rlimit_stack & -PAGE_SIZE, needed + _STACK_EXPAND)
    start = STACK_TOP - max(needed, room)
    flags = VM_DATA_DEFAULT | VM_GROWSDOWN | VM_ACCOUNT
    pages = STACK_TOP - start >> PAGE_SHIFT
    if not may_expand_vm(mm, flags, pages):
        raise os_error(errno.ENOMEM)
    pgoff = start + stack_top_max(mm.task_size) - STACK_TOP >> PAGE_SHIFT
    store_new_vma(mm, start, STACK_TOP, Attributes(flags, None, pgoff, pgoff))
    vma_account(mm, flags, pages)


def _check_strings(limits: Limits, strings: Sequence[bytes], pointers: int) -> None:
    """Refuse strings that, with their pointers, exceed a quarter of the stack or do not fit in it.

    Compare fs/exec.c:bprm_stack_limits(), get_arg_page().
    """
    most = max(min(limits.rlimit_stack // 4, _MOST_ARGUMENTS), _LEAST_ARGUMENTS)
    size = sum(len(string) + 1 for string in strings)
    fits = size + pointers * _WORD <= most
    fits = fits and page_align(size + _WORD) <= max(limits.rlimit_stack, PAGE_SIZE)
    if not fits or max(map(len, strings)) >= _MAX_ARG_STRLEN:
        raise os_error(errno.E2BIG)


def _stack_pointer(mm: MmStruct, arguments: int, argc: int, envc: int) -> int:
    """Return the byte address where the program finds its argument count."""
    entries = _AUXILIARY_ENTRIES + _RSEQ_ENTRIES * mm.release.has(RSEQ_AUXILIARY)
    vectors = (argc + 1 + envc + 1 + 1 + 2 * entries) * _WORD
    return (arguments & -16) - _PLATFORM_AND_RANDOM - vectors & -16
