"""The machine's pools of huge pages, and pools of the engine that equal them."""

import fcntl
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from untorn.conform.operation import Operation
from untorn.maps.fields import Device
from untorn.mm.hugetlb import HugePool
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import MAP_HUGE_SHIFT, MAP_HUGETLB, VM_HUGETLB

FILES = (
    "nr_hugepages",
    "nr_overcommit_hugepages",
    "resv_hugepages",
    "free_hugepages",
    "surplus_hugepages",
)
"""Files of a pool, in /sys/kernel/mm/hugepages."""
IN_USE = "others use the huge pages of this machine"
DISTURBED = "others may have used or changed the huge pages of this machine meanwhile"
_CHUNK = 64
_POOLS = Path("/sys/kernel/mm/hugepages")
LOSES_RESERVATION = (
    "what mremap leaves of a private mapping of huge pages never gives back what it reserved "
    "(mm/mremap.c:copy_vma_and_data())"
)


class KernelPools:
    """The pools of the running kernel.

    Attributes:
        in_use: Whether others use them, too, as of the last look(): a page is in use or reserved,
            or another run has the lock. Then nobody can predict what mapping huge pages does.

    Runs share a lock on the pools' folder as long as the pools are empty; a run that may use their
    pages, or change their sizes, holds it alone. close() releases it. Other programs do not know
    the lock: they may interfere at any time.
    """

    def __init__(self) -> None:
        """Take the lock if possible, and look at the pools, while no process of ours uses any."""
        self._lock = os.open(_POOLS, os.O_RDONLY | os.O_CLOEXEC) if _POOLS.exists() else -1
        folders = {_size_of(path.name): path for path in sorted(_POOLS.glob("hugepages-*kB"))}
        self._pools = {size: (path, _device_of(size)) for size, path in folders.items()}
        self._counts: dict[str, int] = {}
        self.look()

    def look(self) -> None:
        """Look at the pools again, while no process of ours uses any."""
        self._numbers = {
            size: {name: _read(path / name) for name in FILES}
            for size, (path, _) in self._pools.items()
        }
        self.in_use = False
        pools = engine_pools(self.facts())
        self._close_counts()
        self._counts = {
            label: _open(self._pools[size][0] / name)
            for size, pool in pools.items()
            for label, name in _labels(pool).items()
        }
        mine = self.lock(alone=bool(self._counts))
        if not mine or any(pool.free != pool.nr or pool.resv for pool in pools.values()):
            self.in_use = True
            self._close_counts()

    def lock(self, *, alone: bool) -> bool:
        """Take the lock; return whether that worked. Without a folder there is nothing to lock."""
        if self._lock < 0:
            return True
        try:
            fcntl.flock(self._lock, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Release the lock."""
        self._close_counts()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def facts(self) -> list[dict[str, Any]]:
        """Return what the engine must know of each pool, as JSON values; see engine_pools()."""
        return [
            {"page_size": size, "device": device, **({} if self.in_use else self._numbers[size])}
            for size, (_, device) in self._pools.items()
        ]

    def counts(self) -> dict[str, int]:
        """Return the counters of all pools that may have a page."""
        return {label: _number(fd) for label, fd in self._counts.items()}

    def _close_counts(self) -> None:
        while self._counts:
            os.close(self._counts.popitem()[1])


def engine_pools(facts: Iterable[Mapping[str, Any]]) -> dict[int, HugePool]:
    """Return pools of the engine, by page size in bytes, from facts of the kernel's pools.

    Args:
        facts: For each pool page_size, device, and the numbers in FILES; without these it is empty.
    """
    return {each["page_size"]: _pool(each) for each in facts}


def counts_of(pools: Mapping[int, HugePool]) -> dict[str, int]:
    """Return the same counters for pools of the engine."""
    counts: dict[str, int] = {}
    for pool in pools.values():
        of_pool = pool.counts()
        counts |= {label: of_pool[name] for label, name in _labels(pool).items()}
    return counts


def _labels(pool: HugePool) -> dict[str, str]:
    """Return the counters of a pool to compare: their labels, and the files in sysfs."""
    if not pool.nr and not pool.overcommit:
        return {}
    return {f"{pool.page_size >> 10}kB {name}": name for name in pool.counts()}


def give_pages(pages: int, overcommit: int) -> None:
    """Set how many pages of 2 MB this machine's pool has, and how many more it may have.

    A kernel without such a pool is left alone.

    Raises:
        OSError: We may not.
    """
    pool = _POOLS / "hugepages-2048kB"
    if pool.exists():
        (pool / "nr_hugepages").write_text(f"{pages}")
        (pool / "nr_overcommit_hugepages").write_text(f"{overcommit}")


def maps_huge_pages(operation: Operation) -> bool:
    """Return whether an operation asks for a mapping of huge pages of a pool."""
    return operation.name == "mmap" and bool(operation.arguments[3] & MAP_HUGETLB)


def loses_reservation(mm: MmStruct, operation: Operation) -> bool:
    """Return whether an operation may move a part of a private mapping with reserved huge pages."""
    if operation.name != "mremap":
        return False
    start, length = operation.arguments[:2]
    vmas = (vma for _, _, vma in mm.mm_mt if vma.vm_start < start + length and vma.vm_end > start)
    return any(
        vma.vm_flags & VM_HUGETLB
        and vma.resv_map is not None
        and (start > vma.vm_start or start + length < vma.vm_end)
        for vma in vmas
    )


def _size_of(name: str) -> int:
    return int(name.removeprefix("hugepages-").removesuffix("kB")) << 10


def _pool(facts: Mapping[str, Any]) -> HugePool:
    nr, overcommit, resv, free, surplus = (facts.get(name, 0) for name in FILES)
    device = Device(*facts["device"])
    pool = HugePool(facts["page_size"], nr, overcommit=overcommit, resv=resv, device=device)
    pool.free, pool.surplus = free, surplus
    return pool


def _read(path: Path) -> int:
    fd = _open(path)
    try:
        return _number(fd)
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _number(fd: int) -> int:
    return int(os.pread(fd, _CHUNK, 0))


def _device_of(size: int) -> Device:
    """Return the device of the kernel's own mount for pages of size bytes."""
    shift = size.bit_length() - 1
    fd = os.memfd_create("huge", os.MFD_HUGETLB | shift << MAP_HUGE_SHIFT)
    try:
        number = os.fstat(fd).st_dev
    finally:
        os.close(fd)
    return Device(os.major(number), os.minor(number))
