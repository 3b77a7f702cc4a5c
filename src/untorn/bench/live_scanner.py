"""A scanner of target `live`."""

from untorn.bench.scan import Pass, read_text, scan, walk_by_ioctl
from untorn.errors import OutOfReach
from untorn.fs.maps_file import MapsFile
from untorn.live.child import Stop, send, serve, wait_for_start
from untorn.live.maps_file import LiveMapsFile

PASSES: dict[str, tuple[str, Pass]] = {
    "maps": ("maps", read_text),
    "smaps": ("smaps", read_text),
    "query": ("maps", walk_by_ioctl),
}
"""By reader, the file it opens and how it goes over it."""


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
