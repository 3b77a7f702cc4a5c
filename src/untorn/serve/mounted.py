"""A mounted tree, from the mount to its end."""

import threading
from pathlib import Path

from untorn.errors import OutOfReachError
from untorn.reader.access.idleness import same_pids
from untorn.serve.fuse.lifeline import Lifeline
from untorn.serve.fuse.mounting import clear_directory, mount_fuse, new_source
from untorn.serve.fuse.node import Directory
from untorn.serve.fuse.session import Session

STUCK = 5.0
"""Seconds that a request may wait without a sign of life, by default."""
_FOR_OPEN_FILES = 1.0
"""Seconds for which open files are served after the end."""


class Mounted:
    """A mounted tree.

    It is unmounted at its end, or by a watchdog if this process dies or is stuck. The thread that
    made it closes it.

    Args:
        root: The tree.
        directory: Where to mount it; what a dead server left there is unmounted.
        proc: Where procfs is mounted: that of our PID namespace, as it shows callers.
        stuck: Seconds that a request may wait without a sign of life from this process.

    Raises:
        OSError: As clear_directory() and mount_fuse(); ECHILD without a watchdog; ENOENT without a
            procfs.
        OutOfReachError: It is the procfs of another PID namespace.
    """

    def __init__(
        self, root: Directory, directory: str, *, proc: str = "/proc", stuck: float = STUCK
    ) -> None:
        check_numbers(proc)
        clear_directory(directory)
        source = new_source()
        self._lifeline = Lifeline(source, stuck=stuck, proc=proc)
        self.ended = threading.Event()
        try:
            fuse = mount_fuse(directory, source)
            self._lifeline.watch(fuse)
            self._session = Session(root, fuse, proc=proc, on_answer=self._lifeline.answered)
            self._server = threading.Thread(target=self._serve, name="untorn-mount", daemon=True)
            self._server.start()
        except BaseException:
            self._lifeline.close()
            raise

    def _serve(self) -> None:
        try:
            self._session.serve()
        finally:
            self.ended.set()

    def close(self) -> None:
        """Unmount, if it is mounted. Raises OSError EPERM if it cannot be unmounted."""
        self._lifeline.close()
        self.ended.wait(_FOR_OPEN_FILES)

    def __enter__(self) -> "Mounted":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def check_numbers(proc: str) -> None:
    """Raise OutOfReachError if a procfs does not number processes as we do.

    FUSE identifies a caller by its number in our PID namespace. In another namespace's procfs that
    is the number of a stranger, whose rights the caller would get.
    """
    Path(proc).stat()
    if not same_pids(proc):
        raise OutOfReachError(
            f"{proc}: a procfs of another PID namespace: run in that one"
            " (--pid host, or hostPID: true in Kubernetes)"
        )
