"""PROCMAP_QUERY with a build id takes bytes out of a mapped TCP socket.

    python benchmarks/build_id_of_socket.py [KERNEL]...

This asks the running kernel, or guests with the named KERNELs: see docs/kernels.md. A connection of
our own gets 300 bytes. Its receiver maps the socket, as for zero-copy receive, asks the kernel for
the build id of that mapping, and then receives what is left. This file goes into guests as it is,
so the host's side is imported where it is needed. See docs/finding-procmap-query.md.
"""

import ctypes
import fcntl
import mmap
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from untorn.maps.page import PAGE_SIZE
from untorn.maps.procmap_query import BUILD_ID_SIZE_MAX, PROCMAP_QUERY, ProcmapQuery

SENT = 300
"""Bytes."""
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
"""Source: netdevice(7)."""
_PATIENCE = 60.0
"""Seconds."""


def lost() -> dict[str, Any]:
    """Ask for the build id of a mapped socket; return what that did to the stream."""
    _bring_loopback_up()
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        receiver, _ = server.accept()
    with sender, receiver:
        sender.sendall(bytes(each % 256 for each in range(SENT)))
        sender.shutdown(socket.SHUT_WR)
        with mmap.mmap(receiver.fileno(), PAGE_SIZE, mmap.MAP_SHARED, mmap.PROT_READ):
            answer = _ask_for_build_id(_address_of_socket())
        received = b"".join(iter(lambda: receiver.recv(1 << 16), b""))
    gone = SENT - len(received)
    return {"kernel": os.uname().release, "answer": answer, "lost": gone, "sent": SENT}


def _bring_loopback_up() -> None:
    """Bring the loopback interface up, which a guest has down; a no-op elsewhere."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        flags = bytearray(struct.pack("16sH22x", b"lo", _IFF_UP))
        try:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, flags)
        except PermissionError:
            return  # an ordinary user's machine has it up


def _address_of_socket() -> int:
    lines = Path("/proc/self/maps").read_text().splitlines()
    return next(int(line.split("-")[0], 16) for line in lines if "socket:[" in line)


def _ask_for_build_id(addr: int) -> str:
    """Return how the ioctl ended."""
    build_id = ctypes.create_string_buffer(BUILD_ID_SIZE_MAX)
    question = ProcmapQuery(
        query_addr=addr,
        build_id_size=BUILD_ID_SIZE_MAX,
        build_id_addr=ctypes.addressof(build_id),
    )
    with Path("/proc/self/maps").open("rb") as maps:
        try:
            answer = ProcmapQuery.unpack(fcntl.ioctl(maps, PROCMAP_QUERY, question.pack()))
        except OSError as error:
            return str(error)
    return f"a build id of {answer.build_id_size} bytes"


def in_guests(names: list[str]) -> Iterator[str]:
    """Do the same in a guest of each kernel; yield a line for each."""
    from untorn.errors import OutOfReachError
    from untorn.vm import jobs
    from untorn.vm.kernels import find_kernel
    from untorn.vm.qemu import Machine
    from untorn.vm.session import Session

    text = Path(__file__).read_text()
    for name in names:
        kernel = find_kernel(name, print)
        with closing(Session(Machine(kernel.image))) as session:
            try:
                yield line(session.call(jobs.script, _PATIENCE, text=text, name=lost.__name__))
            except OutOfReachError as error:
                yield f"{kernel.release}: {error}"


def line(found: dict[str, Any]) -> str:
    """Return in words what lost() returned."""
    return "{kernel}: {answer}; {lost} of {sent} bytes are gone".format(**found)


def main(names: list[str]) -> None:
    """Print a line for each kernel."""
    for each in in_guests(names) if names else [line(lost())]:
        print(each, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
