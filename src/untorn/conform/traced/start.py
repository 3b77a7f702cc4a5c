"""Start the minimal program, and trace it before it does anything."""

import os
import signal
from collections.abc import Mapping

from untorn.conform.traced import minimal_elf
from untorn.conform.traced.abi import X86_64, Abi
from untorn.conform.traced.ptrace import Tracee, end_child
from untorn.errors import OutOfReachError, describe

PROGRAM_FD = 400
"""The program's descriptor of itself."""
_IGNORED_HERE = signal.SIGPIPE, signal.SIGXFSZ
"""Python ignores these, which a program does not expect."""


def start_minimal(
    files: Mapping[int, int], abi: Abi = X86_64, *, own_group: bool
) -> tuple[Tracee, int]:
    """Start the program; return it, stopped, and a descriptor: the program ends when it is closed.

    Args:
        files: The descriptors that it gets besides inherited ones, and ours for each.
        abi: Its ABI.
        own_group: Put it into its own process group, so that Ctrl-C is for us only.

    Raises:
        OutOfReachError: The program cannot be run or traced.
    """
    pid, lifeline = _spawn(files, abi, own_group=own_group)
    try:
        return Tracee.seize(pid, abi), lifeline
    except OSError as error:
        end_child(pid)
        os.close(lifeline)
        raise OutOfReachError(f"no child can be traced here: {describe(error)}") from error


def _spawn(files: Mapping[int, int], abi: Abi, *, own_group: bool) -> tuple[int, int]:
    program = minimal_elf.in_memory(abi)
    reading, writing = os.pipe()
    passed = {minimal_elf.LIFELINE_FD: reading, PROGRAM_FD: program, **files}
    actions = [(os.POSIX_SPAWN_DUP2, ours, fd) for fd, ours in passed.items()]
    try:
        pid = os.posix_spawn(
            *(f"/proc/self/fd/{PROGRAM_FD}", ["minimal"], {}),
            file_actions=actions,
            setpgroup=0 if own_group else os.getpgrp(),
            setsigmask=(),
            setsigdef=_IGNORED_HERE,
        )
    except OSError as error:
        os.close(writing)
        raise OutOfReachError(f"a minimal program cannot be run here: {describe(error)}") from error
    finally:
        os.close(reading)
        os.close(program)
    return pid, writing
