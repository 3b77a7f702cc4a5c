"""On CPython without the GIL: that it is off, and that what users import leaves it off."""

import os
import subprocess
import sys
import sysconfig
from importlib.metadata import version

import pytest

from tests.helpers.this_machine import with_its_own_gil
from untorn.bench.environment import has_gil

without_gil = pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="takes a CPython made without the GIL"
)

IMPORT = "import sys, {module}; print(sys._is_gil_enabled())"


@without_gil
@pytest.mark.skipif("PYTHON_GIL" not in os.environ, reason="takes PYTHON_GIL=0 or 1")
def test_the_gil_is_as_it_was_told_to_be() -> None:
    assert has_gil() == (os.environ["PYTHON_GIL"] != "0")


@without_gil
@pytest.mark.parametrize(
    "module",
    [
        "untorn.cli",
        "untorn.engine",
        "untorn.serve.fuse.session",
        "untorn.check.run",
        "matplotlib.pyplot",
        "numpy",
        "prometheus_client",
        "psutil",
    ],
)
def test_an_import_leaves_the_gil_off(module: str) -> None:
    if module == "untorn.check.run" and imported("greenlet")[0] == "True\n":
        pytest.skip(f"greenlet {version('greenlet')} switches the GIL on")
    assert imported(module) == ("False\n", "")


def imported(module: str) -> tuple[str, str]:
    """Import a module in a process of its own; return whether the GIL is on, and complaints."""
    # With PYTHON_GIL=0 an extension cannot switch it on, and none says that it would.
    command = [sys.executable, "-c", IMPORT.format(module=module)]
    done = subprocess.run(command, capture_output=True, text=True, env=with_its_own_gil())
    return done.stdout, done.stderr
