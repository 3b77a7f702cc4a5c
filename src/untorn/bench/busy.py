"""A busy task: work of normal priority that takes the CPU from the scanners, again and again."""

import time

from untorn.bench.scan import Stop as AnyStop
from untorn.processes.child import Stop, serve, wait_for_start

PAUSE = 0.001
"""Seconds of sleep between two busy periods."""


def work(busyduration_ns: int) -> None:
    """Wait for the word, then be busy until told to stop."""
    stop = Stop()
    wait_for_start()
    spin_and_pause(busyduration_ns, stop)


def spin_and_pause(busyduration_ns: int, stop: AnyStop) -> None:
    """Spin for some nanoseconds, sleep a millisecond, until told to stop."""
    while not stop.requested:
        end = time.perf_counter_ns() + busyduration_ns
        while time.perf_counter_ns() < end:
            pass
        time.sleep(PAUSE)


if __name__ == "__main__":
    serve(work)
