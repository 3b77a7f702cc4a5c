"""Count the false gaps that checking keeps out of snapshots while a process splits and merges VMAs.

    python benchmarks/checked_snapshots.py [LINES]

A child changes the permissions of a page between others, and back, as fast as it can; all pages
stay mapped. A reader that is interrupted often takes snapshots of it until they have LINES lines in
all. See docs/reader.md.
"""

import subprocess
import sys
from collections import Counter
from dataclasses import asdict

import untorn
from untorn.processes.disturbance import disturbance, disturbed

PAGES = 3
CHILD = f"""
import ctypes, mmap, threading
libc = ctypes.PyDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
at = libc.mmap(None, ctypes.c_size_t({PAGES + 2} << 12), 0, 0x22, -1, ctypes.c_long(0)) + 4096
libc.mprotect(at, {PAGES} << 12, 3)
print(at, flush=True)
libc.prctl(1, 9)  # PR_SET_PDEATHSIG
while True:
    for page in range({PAGES}):
        libc.mprotect(at + (page << 12), 4096, 1)
        libc.mprotect(at + (page << 12), 4096, 3)
"""


def main() -> None:
    """Take snapshots and print the result."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    totals: Counter[str] = Counter()
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE) as child:
        assert child.stdout
        at = int(child.stdout.readline())
        print(f"disturbance: {disturbance()}")
        with disturbed():
            while totals["lines"] < wanted:
                taken = untorn.snapshot(child.pid)
                totals.update(snapshots=1, lines=len(taken))
                totals.update({name: int(value) for name, value in asdict(taken.coherence).items()})
                shown = sum(vma.end - vma.start for vma in taken.between(at, at + (PAGES << 12)))
                totals["with something missing"] += shown < PAGES << 12
        child.kill()
    for name, total in totals.items():
        print(f"{name:24}{total:>16,}")


if __name__ == "__main__":
    main()
