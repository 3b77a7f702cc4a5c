"""Serve metrics over HTTP to a few clients at a time; a slow one holds up no other for long.

Each connection has a thread and one request. If the most connections are open, a new one is closed
at once; one that sends or receives nothing for some seconds is closed, too.
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
"""The most connections at a time."""
_ANY = "::"
"""All IPv6 addresses and, where IPv4 is wanted, all IPv4 addresses."""
_INDEX = b'<!doctype html><title>untorn</title><p><a href="/metrics">metrics</a>\n'
Environment = dict[str, Any]
Start = Callable[[str, list[tuple[str, str]]], Any]
Application = Callable[[Environment, Start], Iterable[bytes]]


class Server(ThreadingMixIn, WSGIServer):
    """Listens from the start; serves in serve_forever().

    Args:
        host: Name or address, IPv4 or IPv6; empty for all addresses of the machine.
        port: Port; 0 for any free one.
        registry: The metrics.

    Attributes:
        url: Where the metrics are.

    Raises:
        OSError: EADDRINUSE, EADDRNOTAVAIL or EACCES if it cannot listen there; or no such host.
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
        """Bind without a name server look-up of our own name, which HTTPServer makes."""
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
        """Let a thread serve a connection; close it if the most are open."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self._places.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, and free its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that was late or has left; anything else is a defect of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _find(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """Return the address family and the address to listen on."""
    if not host and socket.has_dualstack_ipv6():
        return socket.AF_INET6, (_ANY, port)
    found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)
    return found[0][0], found[0][4]


class _Handler(WSGIRequestHandler):
    timeout = 5
    """Seconds to wait for a client to send or receive something."""

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 (its name there)
        """Log nothing."""


def _application(registry: CollectorRegistry) -> Application:
    """Return an application that answers /metrics and /."""
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
