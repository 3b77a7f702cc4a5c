import os
import signal
import socket
from pathlib import Path

import pytest

from untorn.cli.service import ended_by_signals, tell_ready


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_what_is_served_and_what_comes_after_it_is_let_run(
    number: signal.Signals,
) -> None:
    before = signal.getsignal(number)
    reached = []
    with ended_by_signals():
        try:
            os.kill(os.getpid(), number)
            reached.append("what is served")
        finally:
            os.kill(os.getpid(), number)  # a second signal must not interrupt the clean-up
            reached.append("clean up")
    assert reached == ["clean up"]
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("name", ["socket", "@untorn-test-{}"])
def test_the_manager_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    address = name.format(os.getpid()) if name[0] == "@" else str(tmp_path / name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0"))
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        tell_ready()
        assert manager.recv(100) == b"READY=1"


def test_without_a_manager_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    tell_ready()
