"""What waking a task costs, until it runs, and what a switch between two tasks of a CPU costs.

A partner sleeps in a read() of a pipe until a write() wakes it, and reports when it ran. All other
costs are the same if a process writes to a pipe and reads from it itself.
"""

import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

from untorn.bench.calibrate.timing import TIMES, quartile
from untorn.processes.child import end_with_parent, send
from untorn.processes.placement import pin

ROUNDS = TIMES // 4
PAUSE = 0.0002
"""Seconds to wait before a partner is woken, so that it has gone to sleep."""
_TIME = struct.Struct("=q")


class _Wake(NamedTuple):
    """Times in ns from the start of a write() until it returned, and until the reader saw it."""

    returned: float
    seen: float


def measure_switches(own_cpu: int, other_cpu: int) -> None:
    """Send what wake-ups and switches cost, in ns by the names of Costs."""
    alone = _write_alone()
    across, beside = (_write_to_partner(cpu) for cpu in (other_cpu, own_cpu))
    wake_up = across.returned - alone.returned
    context_switch = beside.seen - alone.seen  # a wake-up on one's own CPU is part of it
    wake_latency = across.seen - alone.seen - wake_up - context_switch
    costs = {"wake_up": wake_up, "context_switch": context_switch, "wake_latency": wake_latency}
    send(costs=costs)


def _write_alone() -> _Wake:
    """Time writes to a pipe on which no process sleeps."""
    clock, times = time.perf_counter_ns, []
    reader, writer = os.pipe()
    for _ in range(ROUNDS):
        time.sleep(PAUSE)
        begin = clock()
        os.write(writer, b"\n")
        returned = clock()
        os.read(reader, 1)
        times.append((returned - begin, clock() - begin))
    os.close(reader)
    os.close(writer)
    return _quartiles(times)


def _write_to_partner(cpu: int) -> _Wake:
    """Time writes to a pipe on which a partner on that CPU sleeps."""
    clock, times = time.perf_counter_ns, []
    with _partner(cpu) as (writer, reader):
        for _ in range(ROUNDS):
            time.sleep(PAUSE)
            begin = clock()
            os.write(writer, b"\n")
            returned = clock()
            (seen,) = _TIME.unpack(os.read(reader, _TIME.size))
            times.append((returned - begin, seen - begin))
    return _quartiles(times)


def _quartiles(times: list[tuple[int, int]]) -> _Wake:
    return _Wake(*map(quartile, zip(*times, strict=True)))


@contextmanager
def _partner(cpu: int) -> Iterator[tuple[int, int]]:
    """Start a partner that ends with us; yield the pipe that wakes it, and that of its answers."""
    (told, teller), (reader, answerer), parent = os.pipe(), os.pipe(), os.getpid()
    pid = os.fork()
    if not pid:
        os.close(teller)
        _be_partner(parent, cpu, told, answerer)
    try:
        yield teller, reader
    finally:
        for fd in (told, teller, reader, answerer):
            os.close(fd)
        os.waitpid(pid, 0)


def _be_partner(parent: int, cpu: int, told: int, answerer: int) -> NoReturn:
    """Answer each word with the time; end when the other side of the pipe is closed."""
    try:
        end_with_parent(parent)
        pin(0, {cpu})
        while os.read(told, 1):
            os.write(answerer, _TIME.pack(time.perf_counter_ns()))
    finally:
        os._exit(0)
