"""The client of PROCMAP_QUERY, in C: see procmap_client.c."""

import shutil
import subprocess
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_suffix(".c")


def build_procmap_client(directory: Path) -> Path:
    """Return the path of the program; skip the test if there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = directory / _SOURCE.stem
    options = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(program)]
    subprocess.run([compiler, *options, str(_SOURCE)], check=True)
    return program


def answers_of(program: Path, directory: Path) -> list[str]:
    """Return the answers of the maps file and the smaps file of a /proc/PID, one line each."""
    command = [program, directory / "maps", directory / "smaps"]
    done = subprocess.run(command, capture_output=True, encoding="latin-1", check=True)
    return done.stdout.splitlines()
