"""The command `untorn mount`, running."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.fuse_mount import require_mounts
from tests.helpers.tasks import PATIENCE, wait_until


@contextmanager
def mount_command(directory: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Give the command, once it serves a directory; skip the test where it cannot be mounted.

    It is ended in the end, and has to unmount and to say that all is well.
    """
    require_mounts()
    command = [sys.executable, "-m", "untorn", "mount", str(directory), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: directory.is_mount() or process.poll() is not None)
            assert process.poll() is None, process.stderr and process.stderr.read()
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
            assert not directory.is_mount()
        finally:
            process.kill()
