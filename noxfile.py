"""The tests on every Python that this machine has: `make test-all`."""

import shutil
import subprocess
from pathlib import Path

import nox

VERSIONS = "3.11", "3.12", "3.13", "3.14"


def find(version: str) -> str | None:
    """Return an interpreter of that version, on PATH or of pyenv; None if there is none."""
    name = f"python{version}"
    on_path = shutil.which(name)
    if on_path and not subprocess.run([on_path, "-c", ""], capture_output=True).returncode:
        return on_path  # it is more than a shim of pyenv
    made = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}"))
    return str(made[-1]) if made else None


@nox.session(python=[found for each in VERSIONS if (found := find(each))], venv_backend="venv")
def tests(session: nox.Session) -> None:
    """Run the tests, or those that are named after `--`."""
    session.install("--editable", ".[test]")
    session.run("pytest", *session.posargs)
