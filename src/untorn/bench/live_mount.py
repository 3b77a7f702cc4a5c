"""A mount of ours during a run, for a command that looks there instead of at /proc."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager

from untorn.bench.here import NORMAL_NICE
from untorn.processes.child import wait_for_start
from untorn.processes.children import STOP_TIMEOUT, Children, await_ready


@contextmanager
def mounted(cpu: int) -> Iterator[str]:
    """Serve a /proc from a process on a CPU; yield the directory where it is mounted.

    Raises:
        OutOfReachError: Nothing can be mounted here.
        OSError: The directory cannot be made.
    """
    directory = tempfile.mkdtemp(prefix="untorn-")
    try:
        with Children() as children:
            server = children.add(
                serve, cpu, NORMAL_NICE, patience=STOP_TIMEOUT, directory=directory
            )
            await_ready([server])
            yield directory
    finally:
        os.rmdir(directory)  # noqa: PTH106 (never what is below: it could be mounted still)


def serve(directory: str) -> None:
    """Serve a /proc until told to stop; the parent learns when it can be read."""
    from untorn.serve.fuse.support import check_libraries
    from untorn.serve.host.host import Host
    from untorn.serve.mount import mounted_proc

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    check_libraries()
    with closing(Host()) as host, mounted_proc(directory, host):
        wait_for_start()
        signal.sigwait({signal.SIGTERM})
