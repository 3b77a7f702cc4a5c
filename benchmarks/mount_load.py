"""A mount of ours under load: errors, growth, and the machine time of its looks.

    make bench-load
    python benchmarks/mount_load.py [SECONDS]

Many clients read all files of ours of many processes, as fast as they can. Then processes come and
go, and each is looked at.
"""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from agents import Mount, mounted
from readers import running
from rich.console import Console
from rich.table import Table

CLIENTS, PROCESSES, SECONDS = 50, 300, 60
WARM = 0.25
"""Share of the time after which memory must have reached its size."""
COME_AND_GO, AT_A_TIME = 1000, 50
SETTLED = 15.0
"""Seconds in which the server drops what is gone."""
_SMALL = "import json, logging, sys; print(flush=True); sys.stdin.read()"
_CLIENT = """
import collections, itertools, random, sys, time
directory, seconds, *pids = sys.argv[1:]
end, told = time.monotonic() + float(seconds), collections.Counter()
names = "maps", "smaps", "smaps_rollup", "stat", "status"
files = list(itertools.product(pids, names))
random.shuffle(files)
for pid, name in itertools.cycle(files):
    if time.monotonic() > end:
        break
    try:
        with open(f"{directory}/{pid}/{name}", "rb") as file:
            told["read" if file.read() else "empty"] += 1
    except OSError as error:
        told[f"{name}: {error.strerror}"] += 1
for what, times in told.items():
    print(times, what)
"""


class State(NamedTuple):
    """The resources that a server has, and has used."""

    after: float
    """Seconds from the start."""
    resident: int
    """Bytes."""
    descriptors: int
    threads: int
    cpu: float
    """Seconds."""

    @classmethod
    def of(cls, mount: Mount, began: float) -> "State":
        """Return the state of a server now."""
        return cls(
            time.monotonic() - began,
            mount.resident(),
            mount.descriptors(),
            mount.threads(),
            mount.cpu(),
        )


def read_by_many(mount: Mount, pids: list[int], seconds: float) -> tuple[Counter[str], list[State]]:
    """Let many clients read; count what they got; return it and the server's states meanwhile."""
    arguments = [mount.directory, str(seconds), *map(str, pids)]
    began = time.monotonic()
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", _CLIENT, *arguments], stdout=subprocess.PIPE, text=True
        )
        for _ in range(CLIENTS)
    ]
    states = []
    for part in (WARM, 0.5, 0.75, 1.0):
        time.sleep(max(0.0, began + part * seconds - time.monotonic()))
        states.append(State.of(mount, began))
    met: Counter[str] = Counter()
    for client in clients:
        told, _ = client.communicate()
        for line in told.splitlines():
            times, _, what = line.partition(" ")
            met[what] += int(times)
    return met, states


@contextmanager
def sleepers(number: int) -> Iterator[list[int]]:
    """Yield processes that do nothing."""
    children = [subprocess.Popen(["sleep", "1000"]) for _ in range(number)]
    try:
        yield [child.pid for child in children]
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()


def come_and_go(mount: Mount) -> list[State]:
    """Look at processes, which then end; return the server's states at the start and at the end."""
    began = time.monotonic()
    states = [State.of(mount, began)]
    for _ in range(COME_AND_GO // AT_A_TIME):
        with sleepers(AT_A_TIME) as pids:
            look = ["sh", "-c", 'cd "$0" && for p; do cat $p/stat $p/smaps_rollup; done']
            command = [*look, mount.directory, *map(str, pids)]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    end = time.monotonic() + SETTLED
    while time.monotonic() < end and mount.descriptors() > states[0].descriptors:
        subprocess.run(["ls", mount.directory], stdout=subprocess.DEVNULL, check=True)
        time.sleep(0.5)
    return [*states, State.of(mount, began)]


def table(title: str, states: list[State]) -> Table:
    """Return a table of a server's states."""
    names = "after, s", "resident, MiB", "descriptors", "threads", "CPU, s"
    result = Table(title=title)
    for name in names:
        result.add_column(name, justify="right")
    for each in states:
        result.add_row(
            f"{each.after:.0f}",
            f"{each.resident / (1 << 20):.1f}",
            f"{each.descriptors}",
            f"{each.threads}",
            f"{each.cpu:.1f}",
        )
    return result


def main() -> None:
    """Measure, and print tables."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    console = Console()
    with mounted() as mount:
        with ExitStack() as stack:
            pids = [stack.enter_context(running("-c", _SMALL)) for _ in range(PROCESSES)]
            met, states = read_by_many(mount, pids, seconds)
        console.print(table(f"{CLIENTS} clients read {PROCESSES} processes", states))
        console.print(", ".join(f"{what}: {times:,}" for what, times in met.items()))
        console.print(f"{PROCESSES} processes: {mount.costs()}")
        console.print(table(f"{COME_AND_GO:,} processes come and go", come_and_go(mount)))


if __name__ == "__main__":
    main()
