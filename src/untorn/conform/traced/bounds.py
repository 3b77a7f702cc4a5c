"""What limits the address space of a real process: its limits, its rights, and this machine."""

import re
import resource
from pathlib import Path

from untorn.conform.traced import minimal_elf
from untorn.conform.traced.minimal_child import MinimalChild
from untorn.maps.page import PAGE_SIZE
from untorn.mm.limits import RLIM_INFINITY, Limits
from untorn.mm.mman import MAP_ANONYMOUS, MAP_PRIVATE, PROT_NONE

PR_SET_VMA, PR_SET_VMA_ANON_NAME = 0x5356_4D41, 0
CAP_IPC_LOCK, CAP_SYS_RAWIO, CAP_SYS_ADMIN, CAP_SYS_NICE = 14, 17, 21, 23
_SYSCTL = Path("/proc/sys/vm")
_STATUS, _NUMA_MAPS = Path("/proc/self/status"), Path("/proc/self/numa_maps")
_HAS_MEMORY = Path("/sys/devices/system/node/has_memory")


def limits_of(child: MinimalChild) -> Limits:
    """Return what limits the child as it is now.

    Raises:
        OSError: A file in /proc cannot be read.
    """
    soft = {name: _bytes(child.soft_limit(name)) for name in ("AS", "DATA", "MEMLOCK", "STACK")}
    capabilities = child.capabilities()
    mmap_min_addr, anon_vma_name = _of_a_page(child)
    return Limits(
        rlimit_as=soft["AS"],
        rlimit_data=soft["DATA"],
        rlimit_data_max=_bytes(child.hard_limit("DATA")),
        rlimit_memlock=soft["MEMLOCK"],
        rlimit_stack=soft["STACK"],
        cap_ipc_lock=bool(capabilities >> CAP_IPC_LOCK & 1),
        cap_sys_nice=bool(capabilities >> CAP_SYS_NICE & 1),
        cap_sys_rawio=bool(capabilities >> CAP_SYS_RAWIO & 1),
        cap_sys_admin=bool(capabilities >> CAP_SYS_ADMIN & 1),
        max_map_count=sysctl("max_map_count"),
        mmap_min_addr=mmap_min_addr,
        dac_mmap_min_addr=sysctl("mmap_min_addr"),
        overcommit_memory=sysctl("overcommit_memory"),
        commit_limit=meminfo_pages("CommitLimit"),
        admin_reserve=sysctl("admin_reserve_kbytes") // 4,
        user_reserve=sysctl("user_reserve_kbytes") // 4,
        anon_vma_name=anon_vma_name,
        mems_allowed=mems_allowed(),
        totalram_pages=memory_pages(),
    )


def sysctl(name: str) -> int:
    """Return a number in /proc/sys/vm."""
    return int((_SYSCTL / name).read_text())


def memory_pages() -> int:
    """Return memory and swap in pages, as the kernel's overcommit heuristic counts them."""
    return meminfo_pages("MemTotal", "SwapTotal")


def meminfo_pages(*names: str) -> int:
    """Return the sum of these numbers of /proc/meminfo, in pages."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kib = dict(line.split(":") for line in lines)
    return sum(int(kib[name].split()[0]) for name in names) // 4


def mems_allowed() -> int:
    """Return the bits of the NUMA nodes whose memory our processes may use.

    Source: proc_pid_status(5), Documentation/ABI/stable/sysfs-devices-node. 0: no CONFIG_NUMA.
    """
    if not _NUMA_MAPS.exists():
        return 0
    line = re.search(r"Mems_allowed:\s*([0-9a-f,]+)", _STATUS.read_text())
    assert line is not None, "a kernel with CONFIG_NUMA says it"
    return int(line[1].replace(",", ""), 16) & _bits(_HAS_MEMORY.read_text())


def _bits(nodes: str) -> int:
    """Return the bits of a list such as 0-1,3."""
    bits = 0
    for span in nodes.strip().split(","):
        first, _, last = span.partition("-")
        bits |= (1 << int(last or first) + 1) - (1 << int(first))
    return bits


def _of_a_page(child: MinimalChild) -> tuple[int, bool]:
    """Return what can be learned only from a page that the child maps for a moment.

    Returns:
        mmap_min_addr, a byte address (a lower hint is raised to it), and whether the page could get
        a name.
    """
    page = child.call("mmap", PAGE_SIZE, PAGE_SIZE, PROT_NONE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0)
    name = minimal_elf.string_at(0)
    named = child.call("prctl", PR_SET_VMA, PR_SET_VMA_ANON_NAME, page, PAGE_SIZE, name) == 0
    child.call("munmap", page, PAGE_SIZE)
    return page, named


def _bytes(limit: int) -> int:
    return RLIM_INFINITY if limit == resource.RLIM_INFINITY else limit
