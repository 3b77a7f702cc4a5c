"""The script that checks the direction of imports, on small packages."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.repository import ROOT

CIRCLE = {"a.py": "from p.b import B", "b.py": "class B: ...\nif False:\n    from p import a"}
UPWARDS = {"low.py": "from p.high import x", "high.py": "x = 1"}


def imports(
    tmp_path: Path, files: dict[str, str], order: str
) -> "subprocess.CompletedProcess[str]":
    """Run the script on a package p with these modules and that order in its docstring."""
    tools, package = tmp_path / "tools", tmp_path / "src" / "p"
    tools.mkdir()
    package.mkdir(parents=True)
    script = tools / "imports.py"
    script.write_bytes((ROOT / "tools" / "imports.py").read_bytes())
    (package / "__init__.py").write_text(f'"""A package.\n\n{order}\n"""\n')
    for name, source in files.items():
        (package / name).write_text(source)
    return subprocess.run([sys.executable, script], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("files", "order", "says"),
    [
        (UPWARDS, "From the top down: low, high.", ""),
        (UPWARDS, "From the top down: high, low.", "p.low imports p.high, which stands above it"),
        (UPWARDS, "From the top down: low.", "p: its docstring must say from the top down"),
        (UPWARDS, "", "its docstring must say from the top down how these stand: high, low"),
        (CIRCLE, "From the top down: a, b.", "a circle of imports: p.a -> p.b -> p.a"),
    ],
)
def test_what_is_wrong_is_said_and_fails(
    tmp_path: Path, files: dict[str, str], order: str, says: str
) -> None:
    done = imports(tmp_path, files, order)
    assert (says in done.stdout, done.returncode, done.stderr) == (True, bool(says), "")


def test_a_relative_import_is_refused(tmp_path: Path) -> None:
    done = imports(tmp_path, {"a.py": "from . import b", "b.py": ""}, "From the top down: a, b.")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr == "p.a: a relative import, which is not followed here\n"
