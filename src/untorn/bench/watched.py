"""A process of many VMAs, which does nothing but be read."""

import os

from untorn.bench.lock_count import map_pages
from untorn.bench.scan import READ_SIZE
from untorn.processes.child import serve, wait_for_start
from untorn.processes.this_process import ThisProcess
from untorn.reader.access.maps_file import LiveMapsFile


def work() -> None:
    """Become a process of many VMAs, and stay one until let go."""
    map_pages(ThisProcess(), count_vmas)
    wait_for_start()


def count_vmas() -> int:
    """Return the number of lines of this process's maps."""
    with LiveMapsFile(os.getpid()) as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(READ_SIZE), b""))


if __name__ == "__main__":
    serve(work)
