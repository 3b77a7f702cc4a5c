"""A program that reads files as it is told; it does not know who serves them."""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Self

Operation = tuple[str, int, int]
"""read: size, 0; pread: size, offset; seek: offset, whence."""
Result = bytes | int | str
"""What was read, the new position, or the error."""
_PROGRAM = """
import pickle, sys
from tests.helpers.file_client import play_on
while True:
    try:
        asked = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    pickle.dump(play_on(*asked), sys.stdout.buffer)
    sys.stdout.flush()
"""


def play_on(path: str, operations: Iterable[Operation]) -> list[Result]:
    """Open a file, do the operations, and return their results."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return [_result(fd, *operation) for operation in operations]
    finally:
        os.close(fd)


def _result(fd: int, kind: str, first: int, second: int) -> Result:
    try:
        match kind:
            case "read":
                return os.read(fd, first)
            case "pread":
                return os.pread(fd, first, second)
            case _:
                return os.lseek(fd, first, second)
    except OSError as error:
        return os.strerror(error.errno or 0)


class FileClient:
    """The program while it runs."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def play(self, path: Path, operations: Iterable[Operation]) -> list[Result]:
        """Let it open a file and do operations; return their results."""
        assert self._process.stdin
        assert self._process.stdout
        pickle.dump((str(path), list(operations)), self._process.stdin)
        self._process.stdin.flush()
        results: list[Result] = pickle.load(self._process.stdout)
        return results

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate()
