"""Run other projects' built tests under `untorn conform --exec`, which repeats their calls.

    python benchmarks/other_suites.py DIR...

Each program in the directories (LTP's testcases/kernel/{mem,syscalls/...}, the kernel's
tools/testing/selftests/{mm,proc}, each built) is run without arguments in an empty directory.
It does not matter whether it passes, only whether the engine does all that it does. Tests that
change the machine, or need more memory or time than a busy machine has, are left out. Settings that
a test leaves changed are put back.
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from traced import Row, Traced, attempt

SECONDS = 40.0
"""Seconds that each may take."""
LEFT_OUT = {
    "uses the machine's pool of huge pages": (
        "*huge*", "charge_reserved*", "thuge*", "khugepaged", "uffd-*", "va_high*", "ksm*",
        "cow", "gup_*", "compaction*", "folio_split*", "pagemap_ioctl", "migration",
    ),
    "fills memory, or takes pages out of use": (
        "oom*", "*hwpoison*", "*soft-offline*", "memory-failure", "mtest01*", "mtest05*",
        "swapping*", "min_free_kbytes", "overcommit_memory", "max_map_count", "stack_clash",
        "madvise06", "madvise07", "madvise09", "madvise11", "mmapstress*", "data_space",
        "stack_space", "shm_test", "mallocstress", "fork09", "fork13", "fork14", "mmap-corruption*",
    ),
    "waits for input, or helps another test": (
        "*_child", "*_helper", "*child*", "clone*_exec*", "on-fault-limit", "mem_fork*",
        "dirtyc0w*",
    ),
}  # fmt: skip
_SETTINGS = (
    "/proc/sys/vm/*hugepages", "/proc/sys/vm/overcommit_*", "/proc/sys/vm/max_map_count",
    "/proc/sys/vm/min_free_kbytes", "/sys/kernel/mm/hugepages/*/nr_*hugepages",
    "/sys/kernel/mm/ksm/run", "/sys/kernel/mm/transparent_hugepage/*enabled",
)  # fmt: skip


def main() -> int:
    """Run the tests of each directory; exit 1 if there was a mismatch."""
    traced, rows = Traced(summaries=False), []
    for directory in map(Path, sys.argv[1:]):
        rows.append(Row(directory.name))
        for test in sorted(programs_in(directory)):
            why = reason_to_leave_out(test.name)
            if why:
                traced.out.print(f"{test.name}: left out, {why}")
            else:
                measure(traced, rows[-1], test)
    return int(traced.print_table("suite", rows) > 0)


def measure(traced: Traced, row: Row, test: Path) -> None:
    """Run one test in a directory of its own."""
    command = ["sh", "-c", 'exec >/dev/null 2>&1 </dev/null; exec setsid "$0"', str(test.resolve())]
    with tempfile.TemporaryDirectory() as directory, settings_kept():
        run = partial(traced.run, row, command, directory, filtered=True)
        attempt(traced, test.name, SECONDS, run)


def programs_in(directory: Path) -> Iterator[Path]:
    """Yield the executable ELF files at any depth of a directory."""
    for path in directory.rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o100:
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def reason_to_leave_out(name: str) -> str:
    """Return why a test is not run, or an empty string."""
    reasons = (why for why, names in LEFT_OUT.items() if any(fnmatch(name, n) for n in names))
    return next(reasons, "")


@contextmanager
def settings_kept() -> Iterator[None]:
    """Restore the memory settings that the block changes."""
    before = _settings()
    try:
        yield
    finally:
        for path, text in _settings().items():
            if text != before[path]:
                path.write_text(before[path])


def _settings() -> dict[Path, str]:
    """Return the settings; of those in sysfs, the choice in brackets."""
    files = (path for pattern in _SETTINGS for path in Path("/").glob(pattern[1:]))
    return {path: re.sub(r".*\[(.*)\].*", r"\1", path.read_text()) for path in files}


if __name__ == "__main__":
    sys.exit(main())
