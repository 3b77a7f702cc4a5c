"""What bounds the address space of a real process: its limits, its rights, and this machine's."""

import resource
from pathlib import Path

from untorn.live.minimal_child import MinimalChild
from untorn.mm.limits import RLIM_INFINITY, Limits
from untorn.mm.mman import MAP_ANONYMOUS, MAP_PRIVATE, PROT_NONE
from untorn.mm.page import PAGE_SIZE

_MMAP, _MUNMAP = 9, 11
_CAP_IPC_LOCK, _CAP_SYS_RAWIO = 14, 17
_SYSCTL = Path("/proc/sys/vm")


def limits_of(child: MinimalChild) -> Limits:
    """Return what bounds the child as it is now.

    Raises:
        OSError: A file of /proc cannot be read.
    """
    soft = {name: _bytes(child.soft_limit(name)) for name in ("AS", "DATA", "MEMLOCK", "STACK")}
    capabilities = child.capabilities()
    return Limits(
        rlimit_as=soft["AS"],
        rlimit_data=soft["DATA"],
        rlimit_data_max=_bytes(child.hard_limit("DATA")),
        rlimit_memlock=soft["MEMLOCK"],
        rlimit_stack=soft["STACK"],
        cap_ipc_lock=bool(capabilities >> _CAP_IPC_LOCK & 1),
        cap_sys_rawio=bool(capabilities >> _CAP_SYS_RAWIO & 1),
        max_map_count=sysctl("max_map_count"),
        mmap_min_addr=_min_addr(child),
        dac_mmap_min_addr=sysctl("mmap_min_addr"),
        overcommit_memory=sysctl("overcommit_memory"),
        totalram_pages=memory_pages(),
    )


def sysctl(name: str) -> int:
    """Return a number of /proc/sys/vm."""
    return int((_SYSCTL / name).read_text())


def memory_pages() -> int:
    """Return memory and swap in pages, as the kernel counts them when it guesses."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kib = dict(line.split(":") for line in lines)
    return sum(int(kib[name].split()[0]) for name in ("MemTotal", "SwapTotal")) // 4


def _min_addr(child: MinimalChild) -> int:
    """Return mmap_min_addr in bytes, which no file shows: a hint below it is raised to it."""
    addr = child.call(_MMAP, PAGE_SIZE, PAGE_SIZE, PROT_NONE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0)
    child.call(_MUNMAP, addr, PAGE_SIZE)
    return addr


def _bytes(limit: int) -> int:
    return RLIM_INFINITY if limit == resource.RLIM_INFINITY else limit
