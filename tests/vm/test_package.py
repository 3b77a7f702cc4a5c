"""What a guest gets of numpy is enough to count memory."""

import subprocess
from pathlib import Path, PurePosixPath

import pytest

from tests.helpers.archives import write_below
from tests.helpers.repository import ROOT
from untorn.vm import interpreter
from untorn.vm.init import SOURCES
from untorn.vm.interpreter import executable
from untorn.vm.package import package_files

PROGRAM = """
import os, sys
sys.modules["_hashlib"] = None  # hashlib does without
sys.path[:0] = sys.argv[1:]
import numpy
from untorn.reader.looks import memory
assert numpy.__file__.startswith(sys.argv[1])
assert memory(os.getpid()).total.rss
print(*(name for name, module in sys.modules.items() if module))
"""


@pytest.mark.live
def test_memory_is_counted_with_what_a_guest_has(tmp_path: Path) -> None:
    files = list(package_files("numpy"))
    assert len({file.path for file in files}) == len(files)
    came_with_it = [file for file in files if file.path.is_relative_to(SOURCES)]
    write_below(tmp_path, came_with_it)
    place = tmp_path / PurePosixPath(SOURCES).relative_to("/")
    command = [str(executable()), "-IBS", "-c", PROGRAM, str(place), str(ROOT / "src")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {name for name in done.stdout.split() if not name.startswith("numpy.")}
    assert not interpreter._NO_PACKAGES.intersection(name.partition(".")[0] for name in imported)
    assert not any(map(interpreter._NO_EXTENSIONS.match, imported))
