"""Telling a service manager that the service is ready. Source: sd_notify(3)."""

import os
import socket


def tell_ready() -> None:
    """Tell it, if one has started this process and waits for that."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address[0] == "@":  # an abstract one
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(b"READY=1", address)
