"""Counts how often a reader takes the mmap_lock of the process that it reads, in one pass."""

from untorn.bench.live_scanner import READERS
from untorn.processes.child import send, serve
from untorn.processes.lock_trace import counted


def work(pid: int, reader: str) -> None:
    """Go over the map of a process; send the calls made and the times they took its mmap_lock."""
    opener, one_pass = READERS[reader]
    with opener(pid) as file:
        sum(one_pass(file))  # what the first pass needs beside, as page faults, is not counted
        with counted() as trace:
            calls = sum(1 for _ in one_pass(file))
    send(calls=calls, acquisitions=trace.reads_of_others)


if __name__ == "__main__":
    serve(work)
