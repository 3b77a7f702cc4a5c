"""What it costs to show a map: a line, an answer to a query, a record of smaps, a page walked.

The process reads itself. It has VMAs of one page, as a mapper has, and their lines have one length:
a read() of n times that length shows n of them. The cost of one more line is a slope, and the other
costs of a read() are its value at 0 lines.
"""

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from untorn.bench.calibrate.timing import quartile, time_in_turn, time_one
from untorn.bench.live_mapper import map_region
from untorn.bench.resident import forbid_huge
from untorn.errors import os_error
from untorn.maps.maps_file import FILL_SIZE
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.maps.procmap_query import PATH_MAX, PROCMAP_QUERY, ProcmapQuery, QueryFlags
from untorn.mm.mman import (
    MADV_POPULATE_WRITE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.processes.child import send
from untorn.processes.process_under_test import ThisProcess
from untorn.reader.access.kernel_locks import takes_mmap_lock
from untorn.reader.access.live_maps_file import LiveMapsFile

VMAS = 1024
"""VMAs of the map that is shown."""
PASSES = 12
"""Passes over the map for one figure."""
LINES, RECORDS = 40, 3
"""VMAs in one read() of maps, and of smaps: what fits into a page."""
RESIDENT = 8 << 20
"""Bytes of a VMA whose pages are resident: walking them is short enough not to be preempted."""
SPARSE = 64 << 20
"""Bytes of a VMA whose page tables each have one page."""
WALKS = 40
"""Walks of each."""


@dataclass(frozen=True, slots=True)
class Known:
    """Known costs of a reader, in ns, which are subtracted from what is measured.

    Attributes:
        syscall: A system call that does nothing.
        mmap_lock: That lock, if a call takes it.
        vma_lock: The lock of each VMA, if it does not.
    """

    syscall: float
    mmap_lock: float
    vma_lock: float

    def of_call(self, what: str) -> float:
        """Return what a call pays for a lock; `what` as in kernel_locks.PER_VMA_SINCE."""
        return self.mmap_lock if takes_mmap_lock(what) else 0

    def of_vma(self, what: str) -> float:
        """Return what a call pays for the lock of each VMA."""
        return 0 if takes_mmap_lock(what) else self.vma_lock


def measure_reads(**known: float) -> None:
    """Send what reading costs, in ns by the names of Costs; the arguments are those of Known."""
    pays, base = Known(**known), map_vmas()
    pages = _page_costs(base)
    texts = _text_costs(pays, base, pages["page_present"])
    with LiveMapsFile(os.getpid()) as file:
        refused = file.find_query_refusal()
    send(costs=pages | texts | ({} if refused else _query_costs(pays, base)))


def map_vmas() -> int:
    """Map VMAS pages, each a VMA, with a hole of one page between; return the first address."""
    base = map_region(2 * VMAS * PAGE_SIZE)
    for number in range(VMAS):
        ThisProcess().munmap(_address(base, number) + PAGE_SIZE, PAGE_SIZE)
    return base


def _address(base: int, number: int) -> int:
    return base + 2 * number * PAGE_SIZE


def _text_costs(pays: Known, base: int, page_present: float) -> dict[str, float]:
    """Return what text costs; costs that it does not change are measured without any."""
    with Path(os.devnull).open("rb", buffering=0) as empty:
        plain, scanner = time_in_turn(
            partial(os.read, empty.fileno(), FILL_SIZE),
            partial(LiveMapsFile(os.getpid(), f"fd/{empty.fileno()}").read, FILL_SIZE),
        )
        nothing, *_ = time_in_turn(int)
    line, read = _slope("maps", base, LINES)
    record, _ = _slope("smaps", base, RECORDS)
    return {
        "user_read": scanner - nothing - pays.syscall,
        "fill": read - plain - pays.of_call("maps"),
        "maps_line": line - pays.of_vma("maps"),
        "smaps_vma": record - pays.of_vma("smaps") - page_present,
    }


def _slope(name: str, base: int, many: int) -> tuple[float, float]:
    """Return what each VMA in a read() costs, and what a read() costs without any."""
    text = Path("/proc/self", name).read_bytes()
    start, second = (text.index(b"%x-" % _address(base, number)) for number in (0, 1))
    one, more = (_read_time(name, start, n * (second - start), VMAS // n) for n in (1, many))
    slope = (more - one) / (many - 1)
    return slope, one - slope


def _read_time(name: str, start: int, size: int, reads: int) -> float:
    """Return how long a read() of size bytes takes, for read() after read() from an offset on."""
    times: list[int] = []
    with Path("/proc/self", name).open("rb", buffering=0) as file:
        read = partial(os.read, file.fileno(), size)
        for _ in range(PASSES):
            file.seek(start)
            read()  # which looks for the offset
            times += [time_one(read) for _ in range(reads - 2)]
    return quartile(times)


def _query_costs(pays: Known, base: int) -> dict[str, float]:
    """Return what a query costs, and what asking it costs the program."""
    with LiveMapsFile(os.getpid()) as file:
        walk = file.walk(base)
        step = quartile(time_one(partial(next, walk)) for _ in range(VMAS))
    with Path("/proc/self/maps").open("rb", buffering=0) as file:
        answer = _ioctl_time(file.fileno(), base)
    locks = pays.of_call("PROCMAP_QUERY") + pays.of_vma("PROCMAP_QUERY")
    return {"query": answer - pays.syscall - locks, "user_query": step - answer}


def _ioctl_time(fd: int, base: int) -> float:
    """Return how long the ioctl takes by itself."""
    libc, name = ctypes.PyDLL(None, use_errno=True), ctypes.create_string_buffer(PATH_MAX)
    question = ProcmapQuery(
        query_flags=QueryFlags.COVERING_OR_NEXT_VMA,
        vma_name_size=PATH_MAX,
        vma_name_addr=ctypes.addressof(name),
    )
    times: list[tuple[int, int]] = []
    for number in range(VMAS):
        packed = question._replace(query_addr=_address(base, number)).pack()
        arguments = fd, ctypes.c_ulong(PROCMAP_QUERY), ctypes.create_string_buffer(packed)
        asked = partial(_checked, libc.ioctl, arguments)
        times.append((time_one(asked), time_one(partial(_checked, libc.labs, arguments))))
    answers, others = zip(*times, strict=True)
    return quartile(answers) - quartile(others)


def _checked(function: Callable[..., int], arguments: tuple[object, ...]) -> None:
    if function(*arguments) < 0:
        raise os_error(ctypes.get_errno())


def _page_costs(base: int) -> dict[str, float]:
    """Return what each page costs in a record of smaps, resident and not."""
    resident, sparse, tables = RESIDENT // PAGE_SIZE, SPARSE // PAGE_SIZE, SPARSE // PMD_SIZE
    one, full, empty = (
        _record_time(addr)
        for addr in (base, _map_alone(RESIDENT, PAGE_SIZE), _map_alone(SPARSE, PMD_SIZE))
    )
    page_present = (full - one) / (resident - 1)
    page_none = (empty - one - (tables - 1) * page_present) / (sparse - tables)
    return {"page_present": page_present, "page_none": page_none}


def _map_alone(size: int, step: int) -> int:
    """Map size bytes that merge with nothing, one page per step resident; return the address."""
    process, flags = ThisProcess(), MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    addr = process.mmap(0, size + 2 * PAGE_SIZE, PROT_NONE, flags) + PAGE_SIZE
    process.mmap(addr, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED)
    forbid_huge(process, addr, size)
    for page in range(addr, addr + size, step):
        process.madvise(page, PAGE_SIZE, MADV_POPULATE_WRITE)
    return addr


def _record_time(addr: int) -> float:
    """Return how long a read() of smaps takes that shows one VMA."""
    text = Path("/proc/self/smaps").read_bytes()
    start = text.index(b"\n%x-" % addr) + 1
    size = text.index(b"\n", text.index(b"VmFlags:", start)) + 1 - start
    times = []
    for _ in range(WALKS):
        with Path("/proc/self/smaps").open("rb", buffering=0) as file:
            _skip(file, start)
            times.append(time_one(partial(os.read, file.fileno(), size)))
    return quartile(times)


def _skip(file: BinaryIO, size: int) -> None:
    """Read exactly size bytes: the next read() shows a new record."""
    while size:
        size -= len(file.read(size))
