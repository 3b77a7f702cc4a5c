"""Prometheus' own checks of metrics and rules."""

import shutil
import subprocess
from pathlib import Path

import pytest

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool here")


def promtool(*arguments: str | Path, text: bytes = b"") -> tuple[int, str]:
    """Exit status and output."""
    assert PROMTOOL
    done = subprocess.run(
        [PROMTOOL, *arguments],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout.decode()
