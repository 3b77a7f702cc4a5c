"""How fast a large process's maps are read by this library, raw system calls, and others.

    make bench-readers

All readers read the same process in turn, in one run. On a machine with other work, medians say
more about that work than about readers; the minimum shows what a reader costs. psutil and procmaps
(PyPI) are measured if they are installed.
"""

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

import untorn

VMAS = 60_000
ROUNDS = 9
IMPORTS = 7
LINE = re.compile(
    rb"([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+) *([^\n]*)\n"
)
Reader = Callable[[], object]


class Times(NamedTuple):
    """The times of one reader, in ms."""

    median: float
    least: float


@contextmanager
def running(*arguments: object) -> Iterator[int]:
    """Run a Python program until the block ends; yield its pid once it has begun to print."""
    command = [sys.executable, *map(str, arguments)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as child:
        assert child.stdout
        assert child.stdin
        child.stdout.readline()
        try:
            yield child.pid
        finally:
            child.stdin.close()


def process(*arguments: object) -> AbstractContextManager[int]:
    """Run a process with a number of VMAs."""
    return running(Path(__file__).with_name("many_vmas.py"), *arguments)


def raw(pid: int, file: str = "maps") -> list[bytes]:
    """Read to the end and keep the text: the least that any reader does."""
    fd = os.open(f"/proc/{pid}/{file}", os.O_RDONLY)
    fills = list(iter(partial(os.read, fd, 1 << 16), b""))
    os.close(fd)
    return fills


def optional(name: str, make: Callable[[Any], Reader]) -> Reader | str:
    """Return a library's reader, or why there is none."""
    try:
        return make(import_module(name))
    except ImportError:
        return f"pip install {name}"


def readers(pid: int) -> dict[str, Reader | str]:
    """Return all readers by name; the others are compared with the first."""
    known = untorn.snapshot(pid)
    return {
        "raw read() of maps": lambda: raw(pid),
        "untorn.snapshot": lambda: untorn.snapshot(pid),
        "untorn.snapshot, unchanged": lambda: untorn.snapshot(pid, previous=known),
        "re.findall": lambda: LINE.findall(b"".join(raw(pid))),
        "procmaps": optional("procmaps", lambda procmaps: lambda: procmaps.from_pid(pid)),
        "raw read() of smaps": lambda: raw(pid, "smaps"),
        "psutil.memory_maps": optional(
            "psutil", lambda psutil: lambda: psutil.Process(pid).memory_maps(grouped=False)
        ),
    }


def measure(every: dict[str, Reader | str], rounds: int = ROUNDS) -> dict[str, Times | str]:
    """Return how long each reader took; all take one turn in each round."""
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, reader in every.items():
            if not isinstance(reader, str):
                start = time.perf_counter_ns()
                reader()
                times.setdefault(name, []).append((time.perf_counter_ns() - start) / 1e6)
    return {
        name: reader
        if isinstance(reader, str)
        else Times(statistics.median(times[name]), min(times[name]))
        for name, reader in every.items()
    }


def report(title: str, figures: dict[str, Times | str]) -> Table:
    """Return a table: reader, median and minimum in ms, and both relative to the first reader."""
    table = Table("reader", title=title)
    for column in "median ms", "x raw", "least ms", "x raw":
        table.add_column(column, justify="right")
    first = next(iter(figures.values()))
    assert isinstance(first, Times)
    for name, figure in figures.items():
        if isinstance(figure, str):
            table.add_row(name, figure)
        else:
            pairs = zip(figure, first, strict=True)
            cells = [(f"{own:.3f}", f"{own / other:.2f}") for own, other in pairs]
            table.add_row(name, *chain.from_iterable(cells))
    return table


def start(code: str) -> int:
    """Run a fresh interpreter; return how long it took, in ns."""
    began = time.perf_counter_ns()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter_ns() - began


def main() -> None:
    """Measure, and print four tables."""
    console = Console()
    with process(VMAS) as pid:
        console.print(report(f"a sleeping process with {VMAS:,} VMAs more", measure(readers(pid))))
    with process(VMAS, "spin") as pid:
        busy = {name: readers(pid)[name] for name in ("raw read() of maps", "untorn.snapshot")}
        console.print(report("the same, but running: holes are checked", measure(busy)))
    with subprocess.Popen(["sleep", "600"]) as child:
        while Path(f"/proc/{child.pid}/comm").read_text() != "sleep\n":
            pass  # it has not become that program yet
        small = readers(child.pid)
        title = f"an ordinary process, {len(untorn.snapshot(child.pid))} VMAs"
        console.print(report(title, measure(small, 200)))
        child.kill()
    imports = {
        "import numpy": partial(start, "import numpy"),
        "the same, and import untorn": partial(start, "import numpy, untorn; untorn.snapshot"),
        "the same, and a snapshot": partial(
            start, "import numpy, os, untorn; untorn.snapshot(os.getpid())"
        ),
    }
    console.print(report("a fresh interpreter", measure(dict(imports), IMPORTS)))


if __name__ == "__main__":
    main()
