"""What a guest gets to run a command, and to serve a mount for it."""

import subprocess
from pathlib import Path, PurePosixPath

import pytest

from tests.helpers.archives import write_below
from tests.helpers.repository import ROOT
from untorn.vm import interpreter
from untorn.vm.init import LIBFUSE, SOURCES
from untorn.vm.interpreter import executable
from untorn.vm.package import package_root
from untorn.vm.programs import mount_files, program_files, programs_in

SERVES = """
import os, sys
sys.modules["_hashlib"] = None  # hashlib does without
sys.path[:0] = sys.argv[1:]
import mfusepy, untorn.serve.mount, untorn.serve.fuse.session
assert mfusepy.__file__.startswith(sys.argv[1])
assert mfusepy._libfuse._name == os.environ["FUSE_LIBRARY_PATH"]
print(*(name for name, module in sys.modules.items() if module))
"""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cat /proc/{pid}/maps", {"cat"}),
        ("env A=1 cat {mount}/{pid}/maps", {"env", "cat"}),
        ("sh -c 'mount --rbind {mount} /proc && exec cat x;true'", {"sh", "mount", "cat", "true"}),
        ("/bin/cat nosuch", {"cat"}),
        ("nosuch", set()),
    ],
)
def test_all_programs_are_found_that_a_command_names(text: str, names: set[str]) -> None:
    assert {path.name for path in programs_in([text])} == names


def test_a_program_comes_with_what_it_loads() -> None:
    files = {str(file.path): file for file in program_files(["cat x", "cat y"])}
    names = [PurePosixPath(path).name for path in files]
    assert names.count("cat") == 1
    assert "libc.so.6" in names
    assert all(file.executable for file in files.values())


def test_without_commands_there_is_nothing() -> None:
    assert list(program_files([])) == []


@pytest.mark.live
def test_a_mount_is_served_with_what_a_guest_has(tmp_path: Path) -> None:
    pytest.importorskip("untorn.serve.fuse.session", reason="takes mfusepy and libfuse3")
    write_below(tmp_path, list(mount_files()))
    place, libfuse = (tmp_path / path.relative_to("/") for path in (SOURCES, LIBFUSE))
    assert (place / "untorn" / "serve" / "__init__.pyi").exists()
    paths = [place, ROOT / "src", package_root("numpy").parent]
    command = [str(executable()), "-IBS", "-c", SERVES, *map(str, paths)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"FUSE_LIBRARY_PATH": str(libfuse)}
    )
    imported = {name for name in done.stdout.split() if not name.startswith("numpy.")}
    assert not interpreter._NO_PACKAGES.intersection(name.partition(".")[0] for name in imported)
    assert not any(map(interpreter._NO_EXTENSIONS.match, imported))
