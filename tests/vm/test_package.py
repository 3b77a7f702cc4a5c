"""What a guest gets of numpy: that it is enough."""

import subprocess
from pathlib import Path, PurePosixPath

from tests.helpers.archives import write_below
from untorn.vm import interpreter
from untorn.vm.init import SOURCES
from untorn.vm.interpreter import executable
from untorn.vm.package import package_files

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy
assert numpy.__file__.startswith(sys.argv[1])
assert numpy.linalg.inv([[2.0]])[0, 0] == 0.5
print(*sys.modules)
"""


def test_numpy_runs_where_a_guest_has_it_and_without_what_a_guest_has_not(tmp_path: Path) -> None:
    files = list(package_files("numpy"))
    assert len({file.path for file in files}) == len(files)
    came_with_it = [file for file in files if file.path.is_relative_to(SOURCES)]
    write_below(tmp_path, came_with_it)
    place = tmp_path / PurePosixPath(SOURCES).relative_to("/")
    command = [str(executable()), "-IBS", "-c", PROGRAM, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {name for name in done.stdout.split() if not name.startswith("numpy.")}
    assert not interpreter._NO_PACKAGES.intersection(name.partition(".")[0] for name in imported)
    assert not any(map(interpreter._NO_EXTENSIONS.match, imported))
