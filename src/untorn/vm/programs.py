"""Programs of this machine for a guest, and what it needs to mount a /proc of ours.

A guest gets a program and the libraries that it loads, but no other file that it may want.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path, PurePosixPath

from untorn.errors import OutOfReachError
from untorn.vm.cpio import File
from untorn.vm.init import LIBFUSE, SOURCES
from untorn.vm.interpreter import python_files, shared_objects

_WORD = re.compile(r"[^\s\"';&|()]+")


def programs_in(commands: Iterable[str]) -> list[Path]:
    """Return the programs that command lines name, including those that a shell would run."""
    found = (shutil.which(word) for text in commands for word in _WORD.findall(text))
    return sorted({Path(path) for path in found if path})


def program_files(commands: Iterable[str]) -> Iterator[File]:
    """Yield the programs that command lines name, and what they load.

    Raises:
        OutOfReachError: There is no ldd.
        OSError: A program may not be read.
    """
    programs = programs_in(commands)
    if programs:
        for path in (*programs, *shared_objects(programs)):
            yield File(PurePosixPath(path), path.read_bytes(), executable=True)


def mount_files() -> Iterator[File]:
    """Yield what a mount needs besides our modules: libfuse3, Python packages, and a stub.

    Raises:
        OutOfReachError: They are not installed here.
    """
    from untorn import serve
    from untorn.serve.fuse.support import check_libraries

    check_libraries()
    stub = Path(str(serve.__file__)).with_suffix(".pyi")  # it lists the public names
    yield File(PurePosixPath(SOURCES, "untorn", "serve", stub.name), stub.read_bytes())
    yield File(LIBFUSE, _loaded("libfuse3").read_bytes(), executable=True)
    for name in ("mfusepy", "lazy_loader"):
        source = Path(str(import_module(name).__file__))
        if source.name == "__init__.py":
            yield from python_files(source.parent, SOURCES / name)
        else:
            yield File(PurePosixPath(SOURCES / source.name), source.read_bytes())


def _loaded(name: str) -> Path:
    """Return the file of a library that this process has loaded."""
    found = re.search(rf"/\S*/{name}\.so\S*", Path(f"/proc/{os.getpid()}/maps").read_text())
    if found is None:
        raise OutOfReachError(f"{name} is not where it was loaded from")
    return Path(found[0])
