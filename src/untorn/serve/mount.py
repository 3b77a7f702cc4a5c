"""The two trees that are mounted: processes of this host, and processes of the engine."""

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
"""Descriptors that are left for the end: to unmount takes some."""
_FOR_PROCESSES = 0.75
"""Of all descriptors; files that are open have the rest, and directories while they are listed."""


@contextmanager
def mounted_proc(
    directory: str, host: Host, *, proc: str = "/proc", stuck: float = STUCK
) -> Iterator[Mounted]:
    """Mount a /proc of which the maps are read by us, for the while of a with statement.

    Its links lead to the kernel's procfs, which is mounted in a hidden directory of it; or, without
    the right to mount, to its path: then it can be used where it is, and not be bound elsewhere.

    Args:
        directory: Where.
        host: Looks at the processes.
        proc: The procfs of these processes, of our PID namespace; a relative path, as of host, if
            what is mounted may come to lie over it.
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
        for name, source in root.mounted.items():  # which asks us for the directory
            mount_real(os.path.join(proc, source), os.path.join(directory, name))  # noqa: PTH118
        gc.freeze()  # what is there stays, and is not to be gone through again and again
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
    """Mount processes of the engine as a /proc, for the while of a with statement.

    Args:
        directory: Where.
        processes: By PID; which there are may change meanwhile.
        strategy: How VMAs are kept still while maps is read: one of MAPS_LOCKINGS; see View.
        proc: The procfs that tells who asks.
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
    """Raise our limit as far as we may, but for some that we need in the end.

    Returns:
        How many processes may be known at a time: each that somebody asks for takes a descriptor.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = max(hard - _SPARE, hard // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return int(allowed * _FOR_PROCESSES)


def _allow_spare_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
