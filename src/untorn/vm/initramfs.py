"""The only file system of a guest: this Python and this package, in memory.

It consists of several archives: the interpreter and, if the guest imports it, numpy, both cached
for the next guest, and then what differs between guests. PID 1 is init.py.
"""

import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import untorn
from untorn.bench.command import needs_mount
from untorn.vm.cache import cache_folder, new_folder
from untorn.vm.cpio import File, write_archive
from untorn.vm.init import REQUESTS, SOURCES
from untorn.vm.interpreter import executable, interpreter_files, python_files
from untorn.vm.package import package_files, package_root
from untorn.vm.programs import mount_files, program_files

_FORMAT = 1
"""Increase it when the contents of the cached archives change."""

_ONLY_HERE = {"check", "cli", "conform", "engine", "shrink", "targets"}
"""Parts of the package that a guest has only if it needs them. In any other guest, a change of them
would change which run a seed gives."""
_OF_VM = {"__init__", "init", "jobs"}
"""The modules of this package that a guest needs."""


def write_initramfs(
    fd: int,
    requests: Sequence[bytes] = (),
    *,
    numpy: bool = False,
    parts: Sequence[str] = (),
    commands: Sequence[str] = (),
) -> None:
    """Write a guest's file system to an open file.

    Args:
        fd: Descriptor of an empty file, at its start.
        requests: What the guest will be asked, one line each; none if it is asked by its port.
        numpy: Whether the guest imports it.
        parts: The parts of this package that it imports and other guests do not.
        commands: Command lines that it runs; some of them may look at a mount of ours.

    Raises:
        OutOfReachError: A tool is missing here.
        OSError: The cache folder or the file cannot be written.
    """
    with os.fdopen(os.dup(fd), "wb") as file:
        for cached in (cached_interpreter(), *([cached_numpy()] if numpy else ())):
            _append(file, cached)
        payload = io.BytesIO()
        write_archive(
            payload, (*_package(parts), _init(), *_requests(requests), *_for_commands(commands))
        )
        file.write(payload.getbuffer())


def _append(file: BinaryIO, archive: Path) -> None:
    with archive.open("rb") as source:
        while os.sendfile(file.fileno(), source.fileno(), None, 1 << 30):
            pass


def cached_interpreter() -> Path:
    """Return the archive of this interpreter, from the cache folder or newly made."""
    return _cached("interpreter", executable(), interpreter_files)


def cached_numpy() -> Path:
    """Return the archive of numpy for this interpreter, from the cache folder or newly made."""
    return _cached("numpy", package_root("numpy"), partial(package_files, "numpy"))


def _cached(name: str, source: Path, files: Callable[[], Iterable[File]]) -> Path:
    """Return the archive of these files; the key is this Python and the age of the source."""
    key = f"{_FORMAT} {source} {source.stat().st_mtime_ns} {sys.version}"
    folder = cache_folder() / "archives" / hashlib.sha256(key.encode()).hexdigest()[:16]
    archive = folder / f"{name}.cpio"
    if not archive.exists():
        with new_folder(folder) as unfinished, (unfinished / archive.name).open("wb") as file:
            write_archive(file, files())
    return archive


def _package(parts: Sequence[str]) -> Iterable[File]:
    root = Path(untorn.__file__).parent
    target = SOURCES / root.name
    return (
        file
        for file in python_files(root, target)
        if _is_needed(file.path.relative_to(target), parts)
    )


def _is_needed(module: PurePosixPath, parts: Sequence[str]) -> bool:
    part = module.parts[0].partition(".")[0]
    if part in _ONLY_HERE:
        return part in parts
    return part != "vm" or module.name.partition(".")[0] in _OF_VM


def _init() -> File:
    script = f"""#!{executable()} -IB
import sys
sys.path.insert(0, "{SOURCES}")
from untorn.vm.init import main
main()
"""
    return File(PurePosixPath("/init"), script.encode(), executable=True)


def _for_commands(commands: Sequence[str]) -> Iterator[File]:
    yield from program_files(commands)
    if any(map(needs_mount, commands)):
        yield from mount_files()


def _requests(lines: Sequence[bytes]) -> list[File]:
    return [File(PurePosixPath(REQUESTS), b"".join(lines))] if lines else []
