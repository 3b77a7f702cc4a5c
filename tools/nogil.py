"""Print the path of a CPython without the GIL: one of this machine, or one built here.

    python tools/nogil.py [--find]

It is the one that PYTHON_NOGIL names, or else the newest on PATH, of pyenv, of uv, or built before.
If there is none, unless --find is given, this builds one from Debian's source, in some minutes, and
keeps it in ~/.cache/untorn/python. If none can be had, it prints a line that says why and exits
with 77.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, NamedTuple

from untorn.errors import OutOfReachError
from untorn.vm import apt
from untorn.vm.cache import cache_folder

SKIPPED = 77
"""Exit status for what cannot be tried on this machine, as in Automake's tests."""
PROBE = (
    "import ctypes, ssl, sys, sysconfig, venv, zlib;"
    "print(sysconfig.get_config_var('Py_GIL_DISABLED'), *sys.version_info[:3])"
)
"""Modules needed to install packages and to run the tests."""
NEEDS = {"_CTYPES": "libffi-dev", "_SSL": "libssl-dev", "ZLIB": "zlib1g-dev"}
"""The same modules under configure's names, and the Debian packages that they need."""
OPTIONS = "--disable-gil", "--disable-test-modules", "--without-ensurepip", "CFLAGS=-g0"
"""Options of configure. Environments that the interpreter makes have pip all the same."""
SUITES = "trixie", "forky", "sid"
SERIES = re.compile(r"python3\.1[34]")
"""Versions for which the packages that the tests need have wheels."""
ORIGINAL = re.compile(r"(?m)^ (\w{64}) \d+ (\S+_(3[\d.]+)\.orig\.tar\.xz)$")


class Source(NamedTuple):
    """Debian's source of a version of CPython."""

    version: tuple[int, ...]
    uri: str
    sha256: str

    def __str__(self) -> str:
        return f"CPython {'.'.join(map(str, self.version))}"


def made_here() -> Path:
    """Return the folder with those that were built, each in a folder of its own."""
    return cache_folder() / "python"


def version_of(python: Path) -> tuple[int, ...] | None:
    """Return the version of a suitable interpreter without the GIL; None of any other."""
    try:
        done = subprocess.run([python, "-I", "-c", PROBE], capture_output=True, text=True)
    except OSError:
        return None
    disabled, *version = done.stdout.split() or ["0"]
    return tuple(map(int, version)) if disabled == "1" else None


def candidates() -> Iterator[Path]:
    """Yield files that may be such an interpreter, by their names."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (Path raises if there is none)
    pyenv = os.environ.get("PYENV_ROOT") or home / ".pyenv"
    data = os.environ.get("XDG_DATA_HOME") or home / ".local" / "share"
    uv = os.environ.get("UV_PYTHON_INSTALL_DIR") or Path(data, "uv", "python")
    for folder in map(Path, os.get_exec_path()):
        yield from folder.glob("python3.*t")
    for folder in (Path(pyenv, "versions"), Path(uv), made_here()):
        yield from folder.glob("*/bin/python3.*t")


def find() -> Path | None:
    """Return the newest suitable interpreter of this machine.

    Raises:
        OutOfReachError: PYTHON_NOGIL names none.
    """
    if named := os.environ.get("PYTHON_NOGIL"):
        if not version_of(Path(named)):
            raise OutOfReachError(f"PYTHON_NOGIL={named} is none, or lacks a module")
        return Path(named)
    found = ((version_of(path), path) for path in candidates())
    return max(((version, path) for version, path in found if version), default=(None, None))[1]


def sources() -> list[Source]:
    """Ask Debian's suites for sources to build it from; the newest first.

    Raises:
        OutOfReachError: apt is not here, or no suite can be reached.
    """
    found = set()
    for _, base, stanza in apt.stanzas(SERIES, apt.SOURCES, SUITES):
        for sha256, name, version in ORIGINAL.findall(stanza["Checksums-Sha256"]):
            uri = f"{base}{stanza['Directory']}/{name}"
            found.add(Source(tuple(map(int, version.split("."))), uri, sha256))
    return sorted(found, reverse=True)


def fetch(archive: Path) -> Source:
    """Write the newest source that can be fetched to a file.

    Raises:
        OutOfReachError: No source can be fetched.
    """
    reason = "Debian's suites have no source of it"
    for source in sources():
        try:
            apt.download(source.uri, source.sha256, archive)
        except OutOfReachError as error:  # a mirror may not have all that its lists name
            reason = str(error)
        else:
            return source
    raise OutOfReachError(reason)


def make() -> None:
    """Build one, complete or not at all.

    Raises:
        OutOfReachError: Something that the build needs is missing, or a step failed.
        OSError: The cache folder cannot be written.
    """
    lacking = [tool for tool in ("cc", "make", "tar", "xz") if not shutil.which(tool)]
    if lacking:
        raise OutOfReachError(f"none is here, and to make one it takes {', '.join(lacking)}")
    made_here().mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".new-", dir=made_here()) as folder:
        tree = Path(folder, "tree")
        tree.mkdir()
        say("fetching the source of CPython from Debian")
        source = fetch(tree / "source.tar.xz")
        prefix = made_here() / ".".join(map(str, source.version))
        say(f"making {source} without the GIL: some minutes")
        with (made_here() / "build.log").open("w+") as log:
            build(tree, prefix, Path(folder, "root"), log)
        Path(folder, "root", prefix.relative_to("/")).rename(prefix)


def build(tree: Path, prefix: Path, root: Path, log: IO[str]) -> None:
    """Unpack, build and install the source in a folder, with root in the place of /.

    Raises:
        OutOfReachError: A step failed, or would leave out a module that is needed.
    """
    run(log, tree, "tar", "--extract", "--strip-components=1", "--file=source.tar.xz")
    run(log, tree, "./configure", f"--prefix={prefix}", *OPTIONS)
    has = dict(re.findall(r"(?m)^MODULE_(\w+)_STATE=(\w+)", (tree / "Makefile").read_text()))
    lacking = [package for module, package in NEEDS.items() if has.get(module) != "yes"]
    if lacking:
        raise OutOfReachError(f"to make one it takes the headers of {', '.join(lacking)}")
    run(log, tree, "make", f"--jobs={len(os.sched_getaffinity(0))}")
    run(log, tree, "make", "altinstall", f"DESTDIR={root}")


def run(log: IO[str], folder: Path, *command: str) -> None:
    """Run a step; its output goes to the log.

    Raises:
        OutOfReachError: It failed.
    """
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise OutOfReachError(f"{' '.join(command[:2])} failed; see {log.name}")


def say(what: str) -> None:
    """Tell the user about a step that takes time."""
    print(what, file=sys.stderr, flush=True)


def main(*arguments: str) -> int:
    """Print the path, and return 0; or say why there is none."""
    try:
        if not (found := find()) and "--find" in arguments:
            raise OutOfReachError("none on PATH, of pyenv or of uv, and none was made")
        if not found:
            make()
        print(found or find())
    except (OutOfReachError, OSError) as error:
        say(f"no CPython without the GIL: {error}")
        return SKIPPED
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
