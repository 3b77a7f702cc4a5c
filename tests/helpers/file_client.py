"""A program that reads files as it is told to; it knows nothing of who serves them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Self

Operation = tuple[str, int, int]
"""read: size, 0; pread: size, offset; seek: offset, whence."""
Result = str | int
"""The bytes that were read, in hexadecimal digits, or the new position; or the name of an errno."""
_PROGRAM = """
import json, sys
from tests.helpers.file_client import play_on
for line in sys.stdin:
    path, operations = json.loads(line)
    print(json.dumps(play_on(path, operations)), flush=True)
"""


def play_on(path: str, operations: Iterable[Operation]) -> list[Result]:
    """Open a file, do what is to be done, and return what came of it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return [_result(fd, *operation) for operation in operations]
    finally:
        os.close(fd)


def _result(fd: int, kind: str, first: int, second: int) -> Result:
    try:
        match kind:
            case "read":
                return os.read(fd, first).hex()
            case "pread":
                return os.pread(fd, first, second).hex()
            case _:
                return os.lseek(fd, first, second)
    except OSError as error:
        return os.strerror(error.errno or 0)


class FileClient:
    """The program, running."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def play(self, path: Path, operations: Iterable[Operation]) -> list[Result]:
        """Have it open a file and do what is to be done; return what came of it."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps([str(path), list(operations)]), file=self._process.stdin, flush=True)
        results: list[Result] = json.loads(self._process.stdout.readline())
        return results

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate()
