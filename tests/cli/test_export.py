"""untorn export: from start to end."""

import re
import select
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from tests.helpers.commanded import Commanded
from tests.helpers.promtool import needs_promtool, promtool
from tests.helpers.repository import UNTORN
from untorn.cli import main

LONG = 60.0


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["export", *arguments])
    return done.exit_code, done.stdout, done.stderr


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield the process, and what it prints once it listens."""
    with subprocess.Popen(
        [*UNTORN, "export", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            assert select.select([process.stdout], [], [], LONG)[0]
            yield process, process.stdout.readline()
        finally:
            process.kill()


@pytest.mark.live
def test_a_scrape_tells_of_a_process() -> None:
    with Commanded() as child:
        rule = f"child=cmdline:^{re.escape(sys.executable)} -c .*libc"
        options = "--group", rule, "--others", "none", "--listen", "127.0.0.1:0"
        with started(*options) as (_, said):
            (url,) = re.findall(r"^listening on (http://127\.0\.0\.1:\d+/metrics)$", said)
            with urllib.request.urlopen(url, timeout=LONG) as response:
                text = response.read().decode()
        child.do("pass")
    values = dict(re.findall(r'^untorn_group_(\w+)\{groupname="child"\} (.+)$', text, re.M))
    assert float(values["processes"]) >= 1
    assert float(values["resident_bytes"]) > float(values["unique_bytes"]) > 1 << 20
    assert 0 < float(values["map_count_ratio"]) < 0.1
    assert set(re.findall('groupname="(.*?)"', text)) == {"child"}


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly(number: signal.Signals) -> None:
    with started("--listen", "127.0.0.1:0") as (process, _):
        process.send_signal(number)
        assert process.communicate(timeout=LONG) == ("", "")
        assert process.returncode == 0


@pytest.mark.live
@needs_promtool
def test_what_is_printed_once_has_no_complaint_of_promtool() -> None:
    status, printed, _ = run("--once")
    assert status == 0
    assert 'groupname="python' in printed
    assert promtool("check", "metrics", text=printed.encode()) == (0, "")


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert run("--listen", address) == (1, "", f"Error: {address}: Address already in use\n")


@pytest.mark.parametrize("way", [["--once"], ["--listen", "127.0.0.1:0"]])
def test_where_there_is_no_procfs_is_one_line(way: list[str]) -> None:
    status, _, error = run(*way, "--proc", "/nowhere")
    assert (status, error) == (1, "Error: /nowhere/self: No such file or directory\n")


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    status, _, error = run("--once")
    assert (status, error.count("\n")) == (1, 1)
    assert "pip install 'untorn[export]'" in error


@pytest.mark.parametrize(
    ("address", "reason"),
    [("17256", "HOST:PORT"), ("localhost:", "HOST:PORT"), ("a:65536", "HOST:PORT"), ("::1:1", "[")],
)
def test_what_is_no_address_is_wrong_usage(address: str, reason: str) -> None:
    status, _, error = run("--listen", address)
    assert status == 2
    assert reason in error


def test_what_is_no_rule_is_wrong_usage() -> None:
    status, _, error = run("--group", "x=comm:y")
    assert status == 2
    assert "no source comm; there are name, cmdline, cgroup" in error


def test_once_does_not_listen() -> None:
    status, _, error = run("--once", "--listen", "127.0.0.1:0")
    assert status == 2
    assert "leave out --listen" in error
