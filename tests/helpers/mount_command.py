"""The command `untorn mount` while it runs."""

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
    """Yield the command once it serves a directory; skip the test if it cannot be mounted.

    At the end it must unmount, and exit with success.
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
