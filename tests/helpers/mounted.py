"""What is mounted: a program may do so for itself alone, so that nothing is left when it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

_BEGIN = """
import ctypes, os, subprocess, sys
os.chdir(sys.argv[1])

def mount(*arguments):
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        print("cannot mount:", done.stderr.strip())
        sys.exit(77)
"""
_CANNOT = 77


def run_with_mounts(program: str, folder: Path) -> None:
    """Run a program in a mount namespace of its own; skip the test if it cannot be had.

    Args:
        program: May call mount() with the arguments of mount(8), in the folder.
        folder: Where it is run.
    """
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c"]
    try:
        done = subprocess.run(
            [*command, _BEGIN + program, str(folder)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        pytest.skip(f"no mount namespaces: {error}")
    if done.returncode == _CANNOT or done.stderr.startswith("unshare: "):
        pytest.skip((done.stdout + done.stderr).strip())
    assert done.returncode == 0, done.stdout + done.stderr


def is_mounted(directory: Path) -> bool:
    """Say it without asking what is mounted there: that may be dead, or hang."""
    return f" {directory} " in Path("/proc/self/mountinfo").read_text()
