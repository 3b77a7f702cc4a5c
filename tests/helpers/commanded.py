"""A Python process that does what it is told, and nothing in between."""

import subprocess
import sys
from pathlib import Path
from typing import Self

_LOOP = """
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long
libc.munmap.argtypes = ctypes.c_void_p, ctypes.c_size_t
libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
libc.prctl.argtypes = *[ctypes.c_int] * 2, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
libc.prctl(1, 9, None, 0, None)  # PR_SET_PDEATHSIG: end with who started it, whatever it does
ANON, FIXED, SHARED = 0x22, 0x10, 0x01
def place(pages):
    return libc.mmap(None, pages + 2 << 12, 0, ANON, -1, 0) + 4096
def put(addr, pages, prot=3, flags=ANON, fd=-1, offset=0):
    assert libc.mmap(addr, pages << 12, prot, flags | FIXED, fd, offset) == addr
def obey():
    for line in sys.stdin:
        exec(line, globals())
        print(flush=True)
"""
_BY_THE_MAIN_THREAD = "obey()"
_BY_ANOTHER_THREAD = """
import threading
threading.Thread(target=obey).start()
libc.syscall(60, 0)  # exit of this thread alone
"""


class Commanded:
    """Use it as a context manager, which ends it.

    Args:
        leaderless: Whether its main thread ends at once.
    """

    def __init__(self, *, leaderless: bool = False) -> None:
        program = _LOOP + (_BY_ANOTHER_THREAD if leaderless else _BY_THE_MAIN_THREAD)
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self.do("pass")  # once this is done, it has started

    def do(self, line: str) -> str:
        """Let it execute one line of Python; return the first line that it printed."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        printed = self._process.stdout.readline().rstrip("\n")
        if printed:
            self._process.stdout.readline()
        return printed

    def tell(self, line: str) -> None:
        """Let it execute one line that may never end."""
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def place(self, pages: int) -> int:
        """Reserve pages, with one more on each side; return their address, also called `at`."""
        return int(self.do(f"at = place({pages}); print(at)"))

    def hole(self, pages: int) -> int:
        """Do the same and unmap the pages in the middle: few, or something else may move in."""
        at = self.place(pages)
        self.do(f"libc.munmap(at, {pages} << 12)")
        return at

    def maps(self) -> bytes:
        """Return the text of its maps."""
        return Path(f"/proc/{self.pid}/maps").read_bytes()

    def kill(self) -> None:
        """Kill it; it stays a zombie."""
        self._process.kill()

    def reap(self) -> None:
        self.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.reap()
        for pipe in self._process.stdin, self._process.stdout:
            if pipe:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
