"""A scanner: reads the map of the mapper over and over, as a monitor does."""

import errno
from collections.abc import Callable, Iterator

from untorn.bench.child import Stop, send, serve, wait_for_start
from untorn.errors import OutOfReach
from untorn.fs.maps_file import MapsFile
from untorn.fs.proc import procmap_query
from untorn.fs.proc.procmap_query import QueryFlags
from untorn.live.maps_file import LiveMapsFile

READ_SIZE = 65536
"""Bytes asked for at once; the kernel gives a page or less."""

Pass = Callable[[MapsFile], Iterator[int]]
"""Goes over the map once; yields the bytes of each call."""


def read_text(file: MapsFile) -> Iterator[int]:
    """Read the file from start to end."""
    file.seek(0)
    while chunk := file.read(READ_SIZE):
        yield len(chunk)


def walk_by_ioctl(file: MapsFile) -> Iterator[int]:
    """Ask for one VMA after the other, names included."""
    addr = 0
    while True:
        try:
            vma = file.query(addr, QueryFlags.COVERING_OR_NEXT_VMA)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return
            raise
        yield procmap_query.SIZE + len(vma.name)
        addr = vma.end


PASSES: dict[str, tuple[str, Pass]] = {
    "maps": ("maps", read_text),
    "smaps": ("smaps", read_text),
    "query": ("maps", walk_by_ioctl),
}
"""By reader, the file it opens and how it goes over it."""


def scan(file: MapsFile, one_pass: Pass, stop: Stop) -> tuple[int, int]:
    """Go over the map until told to stop; return whole passes and bytes."""
    scans = total = 0
    while not stop.requested:
        for size in one_pass(file):
            total += size
            if stop.requested:
                break
        else:
            scans += 1
    return scans, total


def work(pid: int, reader: str) -> None:
    """Scan the map of a process from the parent's word to its end; send what was done."""
    name, one_pass = PASSES[reader]
    stop = Stop()
    with LiveMapsFile(pid, name) as file:
        _try_out(file, one_pass, reader)
        wait_for_start()
        scans, total = scan(file, one_pass, stop)
    send(scans=scans, bytes_read=total)


def _try_out(file: MapsFile, one_pass: Pass, reader: str) -> None:
    try:
        next(one_pass(file), 0)
    except OSError as error:
        raise OutOfReach(f"reader {reader} does not work here: {error.strerror}") from error


if __name__ == "__main__":
    serve(work)
