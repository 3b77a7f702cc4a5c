"""Metrics over HTTP."""

import errno
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from prometheus_client import CollectorRegistry, Gauge

from untorn.serve.export import server as module
from untorn.serve.export.server import Server

LONG = 60.0


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("answer", "Of all questions.", registry=registry).set(42)
    return registry


@contextmanager
def serving(registry: CollectorRegistry, host: str = "127.0.0.1") -> Iterator[Server]:
    with Server(host, 0, registry) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def open_socket(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.server_port), LONG)


def connect(server: Server, host: str = "127.0.0.1") -> http.client.HTTPConnection:
    return http.client.HTTPConnection(host, server.server_port, timeout=LONG)


def get(
    server: Server, path: str, method: str = "GET", accept: str = "", host: str = "127.0.0.1"
) -> tuple[int, str, str]:
    """Return status, type and body."""
    with closing(connect(server, host)) as connection:
        connection.request(method, path, headers={"Accept": accept})
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read().decode()


def test_metrics_are_at_their_place_alone(registry: CollectorRegistry) -> None:
    with serving(registry) as server:
        status, kind, body = get(server, "/metrics")
        assert (status, kind.split(";")[0]) == (200, "text/plain")
        assert "answer 42.0\n" in body
        assert server.url == f"http://127.0.0.1:{server.server_port}/metrics"
        assert 'href="/metrics"' in get(server, "/")[2]
        assert get(server, "/other")[0] == 404
        assert get(server, "/metrics", "POST")[0] == 405


def test_openmetrics_is_given_to_who_asks_for_it(registry: CollectorRegistry) -> None:
    with serving(registry) as server:
        _, kind, body = get(server, "/metrics", accept="application/openmetrics-text")
        assert kind.startswith("application/openmetrics-text")
        assert body.endswith("# EOF\n")


def test_one_metric_can_be_asked_for(registry: CollectorRegistry) -> None:
    Gauge("other", "Another one.", registry=registry)
    with serving(registry) as server:
        assert "other" not in get(server, "/metrics?name[]=answer")[2]


def test_what_cannot_be_read_is_one_line(registry: CollectorRegistry) -> None:
    class Failing:
        def describe(self) -> list[Gauge]:
            return []

        def collect(self) -> list[Gauge]:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/x/self")

    registry.register(Failing())  # type: ignore[arg-type]
    with serving(registry) as server:
        status, _, body = get(server, "/metrics")
        assert (status, body) == (503, "/x/self: No such file or directory\n")


def test_more_clients_than_there_are_places_are_closed(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    with serving(registry) as server:
        idle = [open_socket(server) for _ in range(2)]
        with open_socket(server) as refused:
            assert refused.recv(1) == b""
        for each in idle:
            each.close()
        while True:  # until a place is free again
            try:
                assert get(server, "/metrics")[0] == 200
                break
            except (http.client.RemoteDisconnected, ConnectionResetError):
                continue


def test_a_client_that_sends_nothing_is_closed_without_a_word(
    registry: CollectorRegistry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module._Handler, "timeout", 0.01)
    with serving(registry) as server, open_socket(server) as silent:
        silent.sendall(b"GET /metr")
        assert silent.recv(1) == b""
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_ipv6_and_all_addresses(registry: CollectorRegistry) -> None:
    with serving(registry, "::1") as server:
        assert server.url == f"http://[::1]:{server.server_port}/metrics"
        assert get(server, "/metrics", host="::1")[0] == 200
    with serving(registry, "") as server:
        for host in ("127.0.0.1", "::1"):
            assert get(server, "/metrics", host=host)[0] == 200


def test_a_port_that_is_in_use_is_named(registry: CollectorRegistry) -> None:
    with Server("127.0.0.1", 0, registry) as first:
        with pytest.raises(OSError, match="in use") as error:
            Server("127.0.0.1", first.server_port, registry)
        assert error.value.errno == errno.EADDRINUSE
        assert error.value.filename == f"127.0.0.1:{first.server_port}"
