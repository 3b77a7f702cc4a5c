"""htop on a terminal, in a mount namespace where our mount covers /proc."""

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers.agents import Watched, over_proc

pytestmark = pytest.mark.live

PATIENCE = 30.0
SIZE = {"LINES": "30", "COLUMNS": "150", "TERM": "vt100"}
ESCAPES = re.compile(rb"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>78])|[\x0e\x0f]")


def shown(command: list[str], pid: int) -> list[bytes]:
    """Return what the line of a process shows: VIRT, RES, SHR and its state."""
    pattern = re.compile(rb"\b%d root +20 +0 +(\S+) +(\S+) +(\S+) +(\S) " % pid)
    terminal, other = pty.openpty()
    with subprocess.Popen(
        command, stdin=other, stdout=other, stderr=other, env={**os.environ, **SIZE}
    ) as running:
        os.close(other)
        try:
            return list(found_on(terminal, pattern).groups())
        finally:
            running.kill()
            os.close(terminal)


def found_on(terminal: int, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
    """Return where the screen first shows a pattern."""
    deadline, screen = time.monotonic() + PATIENCE, b""
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            screen += os.read(terminal, 1 << 16)
            if found := pattern.search(ESCAPES.sub(b" ", screen)):
                return found
    pytest.fail(f"not shown: {screen!r}")


def test_htop_shows_the_same(still: Watched, tree: Path, tmp_path: Path) -> None:
    if not shutil.which("htop"):
        pytest.skip("no htop here")
    htop = ["env", f"HTOPRC={tmp_path}/htoprc", "htop", "--no-color", "--pid", str(still.pid)]
    expected = shown(["unshare", "--mount", *htop], still.pid)
    assert shown(over_proc(tree, *htop), still.pid) == expected
