"""A file system whose server stops answering, as a network's does when the network is gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

_SERVER = """
import ctypes, os, struct, sys
folder, content = sys.argv[1], open(sys.argv[2], "rb").read()
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"silent", folder.encode(), b"fuse.silent", 6, options):
    sys.exit(os.strerror(ctypes.get_errno()))
print("ready", flush=True)

def attributes(node):
    mode, size = (0o40755, 0) if node == 1 else (0o100755, len(content))
    return struct.pack("=6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

def answer(kind, node, body):
    if kind == 26:  # INIT
        return struct.pack("=4I2H2I2H8I", 7, 31, 1 << 16, 0, 1, 1, 1 << 16, 1, 0, 0, *[0] * 8)
    if kind == 1 and body == b"file\\0":  # LOOKUP; what is told is to be asked for again
        return struct.pack("=4Q2I", 2, 0, 0, 0, 0, 0) + attributes(2)
    if kind == 3:  # GETATTR
        return struct.pack("=Q2I", 0, 0, 0) + attributes(node)
    if kind in (14, 27):  # OPEN, OPENDIR
        return bytes(16)
    if kind == 15:  # READ
        offset, size = struct.unpack_from("=8xQI", body)
        return content[offset : offset + size]
    return b"" if kind in (18, 25, 29) else None  # RELEASE, FLUSH, RELEASEDIR

while True:
    try:
        request = os.read(fuse, 1 << 18)
    except OSError:
        break
    _, kind, unique, node = struct.unpack_from("=2I2Q", request)
    if kind in (2, 36, 42):  # FORGET, INTERRUPT, BATCH_FORGET
        continue
    body = answer(kind, node, request[40:])
    error, body = (-38, b"") if body is None else (0, body)  # ENOSYS
    os.write(fuse, struct.pack("=IiQ", 16 + len(body), error, unique) + body)
"""


class SilentFuse:
    """A mounted folder with one regular file called `file`; leaving it unmounts it.

    Args:
        folder: Where to mount it.
        content: Path of a file with the content.

    Raises:
        OSError: It cannot be mounted here.
    """

    def __init__(self, folder: Path, content: Path) -> None:
        self._folder = folder
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(folder), str(content)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._server.stdout
        if self._server.stdout.readline() != "ready\n":
            assert self._server.stderr
            reason = self._server.stderr.read().strip().rpartition("\n")[2]
            self._end_server()
            raise OSError(reason)
        self.file = folder / "file"

    def fall_silent(self) -> None:
        """Answer nothing from now on."""
        os.kill(self._server.pid, signal.SIGSTOP)

    def _end_server(self) -> None:
        """End it; waiting callers then get an error."""
        self._server.kill()
        self._server.wait()
        for pipe in self._server.stdout, self._server.stderr:
            if pipe:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._end_server()
        subprocess.run(["umount", "-l", str(self._folder)], check=False)
