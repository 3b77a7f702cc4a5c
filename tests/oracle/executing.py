"""A child that executes a given program, without randomization, and the engine beside it."""

import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.this_machine import or_skip
from tests.oracle.elf_files import read_program
from tests.oracle.kernel_process import why_not
from tests.oracle.worlds import ANONYMOUS, RW
from untorn.conform.traced import minimal_elf
from untorn.conform.traced.bounds import limits_of
from untorn.conform.traced.minimal_child import FIRST_FD, MinimalChild
from untorn.fs.binfmt_elf import Program
from untorn.mm.mm_types import MmStruct
from untorn.syscalls import Process

_AT_EMPTY_PATH = 0x1000
FILENAME = b"/dev/fd/%d" % FIRST_FD
"""What the child's execveat(2) calls the program."""


class Executing(MinimalChild):
    """A child that executes the file that it was started with, and is stopped there."""

    def execute(self, argv: list[bytes], envp: list[bytes]) -> int:
        """Make the call; return 0, or the errno. Afterwards only its maps are of use."""
        vectors = [self._put(argv), self._put(envp)]
        arguments = FIRST_FD, minimal_elf.EMPTY_STRING, *vectors, _AT_EMPTY_PATH
        try:
            self.exec("execveat", *arguments)
        except OSError as error:
            return error.errno or 0
        return 0

    def text(self, name: str) -> bytes:
        return Path(f"/proc/{self.pid}/{name}").read_bytes()

    def _put(self, strings: list[bytes]) -> int:
        """Write strings and pointers to them into new memory of the child; return where."""
        text = b"".join(string + b"\0" for string in strings)
        table = 8 * (len(strings) + 1)
        where = self.call("mmap", 0, table + len(text), RW, ANONYMOUS, -1, 0)
        pointers, at = [], where + table
        for string in strings:
            pointers.append(at)
            at += len(string) + 1
        fd = os.open(f"/proc/{self.pid}/mem", os.O_WRONLY)
        os.pwrite(fd, struct.pack(f"<{len(pointers) + 1}Q", *pointers, 0) + text, where)
        os.close(fd)
        return where


def started(path: Path) -> Executing:
    if reason := why_not():
        pytest.skip(reason)
    fd = os.open(path, os.O_RDONLY)
    try:
        return or_skip(lambda: Executing((fd,)))
    finally:
        os.close(fd)


def engine_process(child: MinimalChild, *, topdown: bool = True, **limits: Any) -> Process:
    """Return an engine process with the child's limits, before it executes anything."""
    return Process(MmStruct(limits=replace(limits_of(child), **limits), topdown=topdown))


def load(path: Path) -> tuple[Program, Program | None]:
    program, interpreter = read_program(path)
    return program, None if interpreter is None else read_program(interpreter)[0]
