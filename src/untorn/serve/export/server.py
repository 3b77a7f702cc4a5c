"""Metrics by HTTP, for few clients at a time: one that is slow keeps nobody waiting for long.

Each connection has a thread and one request. If there are as many as there may be, another one is
closed at once; one that sends or takes nothing for some seconds is closed, too.
"""

import socket
import sys
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from untorn.errors import describe

_MOST = 16
"""Connections at a time."""
_ANY = "::"
"""All addresses of IPv6 and, where it is asked for, of IPv4."""
_INDEX = b'<!doctype html><title>untorn</title><p><a href="/metrics">metrics</a>\n'
Environment = dict[str, Any]
Start = Callable[[str, list[tuple[str, str]]], Any]
Application = Callable[[Environment, Start], Iterable[bytes]]


class Server(ThreadingMixIn, WSGIServer):
    """Listens from the beginning; serves in serve_forever().

    Args:
        host: Name or address, of IPv4 or IPv6; empty for all addresses of the machine.
        port: Number; 0 for any that is free.
        registry: The metrics.

    Attributes:
        url: Where the metrics are.

    Raises:
        OSError: EADDRINUSE, EADDRNOTAVAIL, EACCES: it cannot listen there; there is no such host.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        self._places = threading.BoundedSemaphore(_MOST)
        try:
            self.address_family, address = _find(host, port)
            super().__init__(address, _Handler)
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{host}:{port}") from error
        self.set_app(_application(registry))

    def server_bind(self) -> None:
        """Bind without asking a name server who we are, as HTTPServer does."""
        if self.address_family == socket.AF_INET6 and self.server_address[0] == _ANY:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    @property
    def url(self) -> str:
        """Where the metrics are."""
        host = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"http://{host}:{self.server_port}/metrics"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Have a thread serve a connection; close it if there is no place left."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be had
            self._places.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, and give its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that was late or has left; all else is our mistake."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _find(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """Return family and address of where to listen."""
    if not host and socket.has_dualstack_ipv6():
        return socket.AF_INET6, (_ANY, port)
    found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)
    return found[0][0], found[0][4]


class _Handler(WSGIRequestHandler):
    timeout = 5
    """Seconds that it waits for a client to send, or to take, something."""

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 (its name there)
        """Log nothing."""


def _application(registry: CollectorRegistry) -> Application:
    """Return what answers to /metrics and /."""
    metrics: Application = make_wsgi_app(registry)

    def serve(environment: Environment, start: Start) -> Iterable[bytes]:
        path = environment["PATH_INFO"]
        if path == "/":
            return _answer(start, HTTPStatus.OK, "text/html", _INDEX)
        if path != "/metrics":
            return _answer(start, HTTPStatus.NOT_FOUND, "text/plain", b"see /metrics\n")
        try:
            return metrics(environment, start)
        except OSError as error:
            text = describe(error).encode() + b"\n"
            return _answer(start, HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", text)

    return serve


def _answer(start: Start, status: HTTPStatus, kind: str, body: bytes) -> list[bytes]:
    start(f"{status.value} {status.phrase}", [("Content-Type", f"{kind}; charset=utf-8")])
    return [body]
