"""The command `untorn mount`, running."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.tasks import PATIENCE, wait_until

_CANNOT = 1
"""Exit status."""


@contextmanager
def mount_command(directory: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Give the command, once it serves a directory; skip the test where it cannot be mounted.

    It is ended in the end, and has to unmount and to say that all is well.
    """
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse may not be opened")
    command = [sys.executable, "-m", "untorn", "mount", str(directory), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: directory.is_mount() or process.poll() is not None)
            if process.poll() == _CANNOT:
                pytest.skip(process.stderr.read().strip() if process.stderr else "")
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
            assert not directory.is_mount()
        finally:
            process.kill()
