"""Mounts: a program may make its own in a private namespace, so that nothing is left at its end."""

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
    """Run a program in its own mount namespace; skip the test if that is impossible.

    Args:
        program: May call mount() with the arguments of mount(8), in the folder.
        folder: Where it runs.
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
    """Return whether it is mounted without asking the file system, which may be dead, or hang."""
    return f" {directory} " in Path("/proc/self/mountinfo").read_text()
