"""A scanner of target `live`."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from untorn.bench.psutil_reader import ask_psutil, open_psutil
from untorn.bench.scan import Pass, read_text, scan, walk_by_ioctl
from untorn.errors import OutOfReachError
from untorn.processes.child import Stop, send, serve, wait_for_start
from untorn.reader.access.gentle import GentleMapsFile
from untorn.reader.access.maps_file import LiveMapsFile
from untorn.reader.access.priority import NotRaisedWarning

Opener = Callable[[int], AbstractContextManager[Any]]
READERS: dict[str, tuple[Opener, Pass[Any]]] = {
    "maps": (LiveMapsFile, read_text),
    "smaps": (partial(LiveMapsFile, file="smaps"), read_text),
    "query": (LiveMapsFile, walk_by_ioctl),
    "gentle": (GentleMapsFile, read_text),
    "gentle smaps": (partial(GentleMapsFile, file="smaps"), read_text),
    "psutil": (open_psutil, ask_psutil),
}
"""By reader and variant, what it opens of a process and how it goes over that."""


def work(pid: int, reader: str) -> None:
    """Scan the map of a process from the parent's word to its end; send what was done."""
    warnings.simplefilter("ignore", NotRaisedWarning)  # it is counted
    opener, one_pass = READERS[reader]
    stop = Stop()
    with opener(pid) as file:
        _try_out(file, one_pass, reader)
        wait_for_start()
        scans, total = scan(file, one_pass, stop)
        not_raised = isinstance(file, GentleMapsFile) and not file.raised
    send(scans=scans, bytes_read=total, **({"not_raised": 1} if not_raised else {}))


def _try_out(file: Any, one_pass: Pass[Any], reader: str) -> None:
    try:
        next(one_pass(file), 0)
    except OSError as error:
        raise OutOfReachError(f"reader {reader} does not work here: {error.strerror}") from error


if __name__ == "__main__":
    serve(work)
