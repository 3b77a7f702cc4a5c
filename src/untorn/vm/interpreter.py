"""The files that this Python needs to run elsewhere: itself, its library, its shared objects."""

import marshal
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from importlib.util import MAGIC_NUMBER
from pathlib import Path, PurePosixPath

from untorn.errors import OutOfReachError
from untorn.vm.cpio import File

_NO_PACKAGES = {
    "__pycache__",
    "asyncio",
    "curses",
    "dbm",
    "dist-packages",
    "distutils",
    "email",
    "ensurepip",
    "html",
    "http",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "sqlite3",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
    "unittest",
    "venv",
    "wsgiref",
    "xml",
    "xmlrpc",
}
"""Parts of the library that nothing here imports: a guest unpacks everything into memory."""
_NO_EXTENSIONS = re.compile(
    r"_(curses|dbm|elementtree|gdbm|hashlib|sqlite3|ssl|test|tkinter|xx|zoneinfo)|nis|ossaudiodev|pyexpat|readline|xx"
)
_UNCHECKED_HASH = 1
_LD_CACHE = Path("/etc/ld.so.cache")
"""Where the loader finds libraries outside its usual directories."""
_BUILD = "pybuilddir.txt"
"""Tells an interpreter that was not installed where its library is. Source: getpath.py."""


def executable() -> Path:
    """Return the interpreter itself; a virtual environment only links to it."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))


def interpreter_files() -> Iterator[File]:
    """Yield the interpreter, its library without tests and tools, and all that they load.

    Each file has the same path as here, so that the interpreter finds it.

    Raises:
        OutOfReachError: There is no ldd, or the interpreter cannot find its library by itself.
    """
    python = executable()
    yield File(PurePosixPath(python), python.read_bytes(), executable=True)
    extensions = []
    for folder in library_of(python):
        yield from python_files(folder, folder)
        modules = sorted(folder.glob("*.so"))
        extensions += [path for path in modules if not _NO_EXTENSIONS.match(path.name)]
    found = *extensions, *shared_objects([python, *extensions]), _LD_CACHE, python.parent / _BUILD
    for path in found:
        if path.exists():
            yield File(PurePosixPath(path), path.read_bytes(), executable=True)


def library_of(python: Path) -> list[Path]:
    """Return the folders where an interpreter looks for its library by default.

    Raises:
        OutOfReachError: It does not start by default.
    """
    program = "import sys; print(*sys.path, sep='\\n')"
    done = subprocess.run([python, "-ISB", "-c", program], capture_output=True, text=True)
    if done.returncode:
        raise OutOfReachError(f"{python} does not find its library unless it is told where")
    return [folder for folder in map(Path, done.stdout.splitlines()) if folder.is_dir()]


def python_files(root: Path, target: Path) -> Iterator[File]:
    """Yield every source file under root, moved to target, and its compiled form.

    A compiled form is used whatever the files' times are in the guest.
    """
    for directory, names, files in os.walk(root):
        names[:] = sorted(set(names) - _NO_PACKAGES)
        for name in sorted(files):
            if name.endswith(".py"):
                source = Path(directory, name)
                yield from _with_compiled(source, target / source.relative_to(root))


def _with_compiled(source: Path, target: Path) -> Iterator[File]:
    text = source.read_bytes()
    yield File(PurePosixPath(target), text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(text, str(target), "exec", dont_inherit=True, optimize=0)
    except SyntaxError:  # a template, or an example of an error
        return
    compiled = target.parent / "__pycache__" / f"{target.stem}.{sys.implementation.cache_tag}.pyc"
    header = MAGIC_NUMBER + _UNCHECKED_HASH.to_bytes(4, "little") + bytes(8)
    yield File(PurePosixPath(compiled), header + marshal.dumps(code))


def shared_objects(objects: Iterable[Path]) -> list[Path]:
    """Return what the dynamic loader loads with these objects, including itself.

    Raises:
        OutOfReachError: There is no ldd.
    """
    try:
        done = subprocess.run(
            ["ldd", *map(str, objects)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise OutOfReachError("no ldd here to find the libraries that a guest needs") from error
    found = re.findall(r"(?m)^\s+(?:\S+ => )?(/\S+) \(0x", done.stdout)
    return [Path(path) for path in dict.fromkeys(map(os.path.normpath, found))]
