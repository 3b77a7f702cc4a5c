"""Mount the two trees: processes of this host, and processes of the engine."""

import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

from untorn.fs.proc.maps_locking import MAPS_LOCKINGS
from untorn.serve.caller.thread_credentials import capget
from untorn.serve.engine.guest import Processes, View
from untorn.serve.engine.tree import EngineRoot
from untorn.serve.fuse.mounting import mount_real
from untorn.serve.host.host import Host
from untorn.serve.mounted import STUCK, Mounted
from untorn.serve.procfs.links import Way
from untorn.serve.procfs.real import RealProc
from untorn.serve.procfs.root import ProcRoot

_CAP_SYS_ADMIN = 1 << 21
_M_ARENA_MAX = -8
_SPARE = 64
"""Descriptors to keep for the end, because unmounting takes some."""
_FOR_PROCESSES = 0.75
"""The part of all descriptors for processes; open files and directories get the rest."""


@contextmanager
def mounted_proc(
    directory: str, host: Host, *, proc: str = "/proc", stuck: float = STUCK
) -> Iterator[Mounted]:
    """Mount a /proc whose maps files we read, inside a with statement.

    Its links lead to the kernel's procfs, which is mounted in a hidden directory of it. If we may
    not mount that, they lead to its path: then the tree works in place, but not when bound
    elsewhere.

    Args:
        directory: Where to mount it.
        host: Looks at the processes.
        proc: The procfs of these processes, in our PID namespace; a relative path, as host's, if
            the tree may come to cover it.
        stuck: See Mounted.

    Raises:
        OSError: As Mounted and RealProc; EPERM.
        OutOfReachError: As Mounted.
    """
    most = _allow_many_files()
    may_mount = bool(capget(0).effective & _CAP_SYS_ADMIN)
    way = Way() if may_mount else Way(os.path.realpath(proc))
    root = ProcRoot(RealProc(proc), host, way, most)
    with Mounted(root, directory, proc=proc, stuck=stuck) as mounted:
        for name, source in root.mounted.items():  # this asks us for the directory
            mount_real(os.path.join(proc, source), os.path.join(directory, name))  # noqa: PTH118
        gc.freeze()  # what exists now stays: do not scan it again and again
        try:
            yield mounted
        finally:
            _allow_spare_files()


@contextmanager
def mounted_engine(
    directory: str,
    processes: Processes,
    strategy: str = "vma_lock",
    *,
    proc: str = "/proc",
    stuck: float = STUCK,
) -> Iterator[Mounted]:
    """Mount processes of the engine as a /proc, inside a with statement.

    Args:
        directory: Where to mount them.
        processes: By PID; it may change meanwhile.
        strategy: How VMAs are kept still while maps is read: one of MAPS_LOCKINGS; see View.
        proc: The procfs that shows callers.
        stuck: See Mounted.

    Raises:
        OSError: As Mounted.
        OutOfReachError: As Mounted.
        ValueError: There is no such strategy.
    """
    if strategy not in MAPS_LOCKINGS:
        raise ValueError(f"no strategy {strategy!r}; there are {', '.join(MAPS_LOCKINGS)}")
    root = EngineRoot(processes, View(strategy, proc))
    with Mounted(root, directory, proc=proc, stuck=stuck) as mounted:
        yield mounted


def _allow_many_files() -> int:
    """Raise our limit of descriptors as far as we may, less some that we need at the end.

    Returns:
        How many processes we may know at a time: each one that is asked for takes a descriptor.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = max(hard - _SPARE, hard // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return int(allowed * _FOR_PROCESSES)


def _allow_spare_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
