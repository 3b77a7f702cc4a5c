"""How long it takes to count resident memory: of one large process, and of a whole machine.

    make bench-counting

All take turns in one run; the figures are medians. psutil and smem are measured if they are
installed. Their results are compared, too.
"""

import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

from readers import Times, measure, raw, report, running
from rich.console import Console

import untorn
from untorn.bench.resident import check_available

GIB = 8
PROCESSES, ROUNDED = 300, 64 << 10
Counted = dict[int, tuple[int, int, int]]
"""By process: rss, private and pss in bytes."""
_LARGE = """
import ctypes, mmap, sys
libc = ctypes.CDLL(None)
libc.madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
size, advice, small, populate = int(sys.argv[1]), int(sys.argv[2]), 1 << 21, 23
memory = mmap.mmap(-1, size + small, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + small - 1 & -small
if libc.madvise(start, size, advice) or libc.madvise(start, size, populate):
    sys.exit("no such pages, or too few")
print(flush=True)
sys.stdin.read()
"""
_SMALL = "import json, logging, sys; print(flush=True); sys.stdin.read()"
_NOHUGEPAGE, _HUGEPAGE = 15, 14


def one_process(advice: int) -> dict[str, Times | str]:
    """Measure how long a process with one large VMA takes."""
    check_available(GIB << 30)
    with running("-c", _LARGE, GIB << 30, advice) as pid:
        untorn.memory(pid)  # measures once how long this machine takes per page
        return measure(
            {
                "raw read() of smaps": lambda: raw(pid, "smaps"),
                "untorn.memory": lambda: untorn.memory(pid),
                "untorn.memory, gentle=False": lambda: untorn.memory(pid, gentle=False),
                "untorn.memory, within=1": lambda: untorn.memory(pid, within=1),
            }
        )


def by_untorn() -> Counted:
    """Return what untorn finds."""
    every = [(each.pid, each.amounts) for each in untorn.memories().found]
    return {pid: (one.rss or 0, one.private or 0, one.pss or 0) for pid, one in every}


def by_psutil(psutil: Any) -> Counted:
    """Return what psutil finds."""
    found: Counted = {}
    for each in psutil.process_iter():
        try:
            one = each.memory_full_info()
        except psutil.Error:
            continue
        found[each.pid] = one.rss, one.uss, one.pss
    return found


def by_smem() -> Counted:
    """Return what smem finds."""
    command = ["smem", "-H", "-c", "pid rss uss pss"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = (map(int, line.split()) for line in text.splitlines())
    return {pid: (rss << 10, uss << 10, pss << 10) for pid, rss, uss, pss in rows}


def alike(one: tuple[int, ...] | None, other: tuple[int, ...] | None) -> bool:
    """Return whether two found the same; smaps rounds down, so its sum may be some kB less."""
    if one is None or other is None:
        return False
    return one[:2] == other[:2] and abs(one[2] - other[2]) <= ROUNDED


def whole_machine(pids: list[int]) -> tuple[dict[str, Times | str], str]:
    """Measure how long all processes take; also return the differences."""
    ways: dict[str, Callable[[], Counted] | str] = {"untorn.memories": by_untorn}
    try:
        psutil = import_module("psutil")
        ways["psutil, memory_full_info() of all"] = lambda: by_psutil(psutil)
    except ImportError:
        ways["psutil, memory_full_info() of all"] = "pip install psutil"
    ways["smem"] = by_smem if shutil.which("smem") else "apt install smem"
    figures = measure(dict(ways))
    ours = by_untorn()
    differ = [
        f"{name}: {sum(not alike(found.get(pid), ours.get(pid)) for pid in pids)} differ"
        for name, way in ways.items()
        if not isinstance(way, str) and (found := way())
    ]
    return figures, "; ".join(differ)


def main() -> None:
    """Measure, and print three tables."""
    console = Console()
    console.print(report(f"{GIB} GiB in one VMA, small pages", one_process(_NOHUGEPAGE)))
    console.print(report(f"{GIB} GiB in one VMA, huge pages", one_process(_HUGEPAGE)))
    with ExitStack() as stack:
        pids = [stack.enter_context(running("-c", _SMALL)) for _ in range(PROCESSES)]
        number = sum(name.name.isdecimal() for name in Path("/proc").iterdir())
        figures, differ = whole_machine(pids)
        console.print(report(f"a machine of {number} processes", figures))
        console.print(differ)


if __name__ == "__main__":
    main()
