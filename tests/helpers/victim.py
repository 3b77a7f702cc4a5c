"""A process that loses something if it is read without care, and reports whether it has.

As a program it maps sockets, rings and devices, as far as it can, and prints where. Then it prints,
for each line on stdin, what is left in them.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

_PROGRAM = """
import array, ctypes, fcntl, json, mmap, os, socket, struct, sys, termios
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long
libc.prctl(1, 9, 0, 0, 0)   # PR_SET_PDEATHSIG: end with who started it
libc.prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: khugepaged is to leave its pages alone
at, missing, kept = {}, {}, []

def put(name, fd, size, prot=1, flags=1, offset=0):
    addr = libc.mmap(None, size, prot, flags, fd, offset)
    if addr in (None, ctypes.c_void_p(-1).value):
        missing[name] = os.strerror(ctypes.get_errno())
    else:
        at[name] = addr

def attempt(name, function):
    try:
        function()
    except OSError as error:
        missing[name] = str(error)

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
tcp = socket.create_connection(server.getsockname())
peer, _ = server.accept()
put("tcp", tcp.fileno(), 65536)
peer.sendall(bytes(range(256)) + b"x" * 44)

unix, other = socket.socketpair()
other.sendall(b"u" * 300)
put("unix", unix.fileno(), 4096)

def packet():
    ring = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    ring.setsockopt(263, 5, struct.pack("=4I", 4096, 1, 2048, 2))  # PACKET_RX_RING
    put("packet", ring.fileno(), 4096, 3)
    kept.append(ring)
attempt("packet", packet)

def uring():
    parameters = ctypes.create_string_buffer(120)
    fd = checked(libc.syscall(425, 8, parameters))
    put("io_uring", fd, 4096, 3)
attempt("io_uring", uring)

def perf():
    attributes = struct.pack("=2I3Q", 1, 112, 0, 0, 0) + bytes(80)  # the CPU clock, not sampled
    fd = checked(libc.syscall(298, attributes, 0, -1, -1, 0))
    put("perf", fd, 2 * mmap.PAGESIZE, 3)
attempt("perf", perf)

folder = sys.argv[1]
os.mkfifo(folder + "/fifo")
fifo = os.open(folder + "/fifo", os.O_RDWR)
os.write(fifo, b"f" * 300)
with open(folder + "/plain", "wb") as plain:
    plain.write(b"p" * 8192)
put("file", os.open(folder + "/plain", os.O_RDONLY), 8192)
with open(folder + "/replaced", "wb") as replaced:
    replaced.write(b"r" * 4096)
put("replaced", os.open(folder + "/replaced", os.O_RDONLY), 4096)
os.unlink(folder + "/replaced")
os.mkfifo(folder + "/replaced")  # who opens that by its name waits for ever
put("zero", os.open("/dev/zero", os.O_RDONLY), 4096, 1, 2)
put("shared", -1, 1 << 20, 3, 0x21)
put("untouched", -1, 1 << 22, 3, 0x22)
at["memory"] = libc.mmap(None, 1 << 20, 3, 0x22, -1, 0)
ctypes.memset(at["memory"], 1, 1 << 19)
print(json.dumps({"at": at, "missing": missing}), flush=True)

def waiting(fd):
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]

def words(name, *offsets):
    if name not in at:
        return None
    return [ctypes.c_uint64.from_address(at[name] + offset).value for offset in offsets]

for line in sys.stdin:
    left = {"tcp": waiting(tcp.fileno()), "unix": waiting(unix.fileno()), "fifo": waiting(fifo)}
    left["perf"] = words("perf", 1024, 1032)
    left["io_uring"] = words("io_uring", 0, 8)
    if line == "end\\n":
        left["received"] = len(tcp.recv(4096))
    print(json.dumps(left), flush=True)
"""


class Victim:
    """Use it as a context manager, which ends it.

    Attributes:
        at: Byte addresses, by what is mapped.
        missing: Why something could not be mapped here, by name.
    """

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        told = self._line()
        self.at: dict[str, int] = told["at"]
        self.missing: dict[str, str] = told["missing"]

    def left(self, line: str = "tell") -> dict[str, Any]:
        """Let it report what is left; after "end" also how much it could receive."""
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in self._process.stdin, self._process.stdout:
            if pipe:
                pipe.close()
