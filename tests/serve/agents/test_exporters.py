"""Prometheus exporters that can be told where /proc is, and smem, report the same as on /proc."""

import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.agents import NAME, Watched

pytestmark = pytest.mark.live

LISTENING = re.compile(r"address=(\S+:\d+)")


@contextmanager
def exporter(program: str, *options: str) -> Iterator[str]:
    """Run one on a free port; yield its address."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"no {program} here")
    command = [path, "--web.listen-address=127.0.0.1:0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr
            found = next(filter(None, map(LISTENING.search, running.stderr)))
            yield found[1]
        finally:
            running.terminate()


def scraped(address: str, wanted: str) -> list[str]:
    """Return the metrics that match a pattern, without their names."""
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return [line for line in lines if line[0] != "#" and re.search(wanted, line)]


def test_process_exporter(still: Watched, tree: Path) -> None:
    options = ["-procnames", NAME]
    program = "prometheus-process-exporter"
    with (
        exporter(program, *options) as proc,
        exporter(program, "-procfs", str(tree), *options) as ours,
    ):
        expected, told = (counted(scraped(each, f'"{NAME}"')) for each in (proc, ours))
    assert told.keys() == expected.keys()
    for name, value in told.items():  # others share its libraries, and come and go
        near = 0.2 if "proportional" in name else 0
        assert value == pytest.approx(expected[name], rel=near), name
    assert any("proportionalResident" in name and value for name, value in told.items())


def counted(metrics: list[str]) -> dict[str, float]:
    parts = (line.rpartition(" ") for line in metrics)
    return {name: float(value) for name, _, value in parts}


def test_node_exporter(still: Watched, tree: Path) -> None:
    collectors = [
        "cpu",
        "filesystem",
        "loadavg",
        "meminfo",
        "netdev",
        "processes",
        "stat",
        "vmstat",
    ]
    options = ["--collector.disable-defaults", *(f"--collector.{each}" for each in collectors)]
    program = "prometheus-node-exporter"
    with (
        exporter(program, *options) as proc,
        exporter(program, f"--path.procfs={tree}", *options) as ours,
    ):
        expected, told = (scraped(each, "^node_") for each in (proc, ours))
    assert names(told) == names(expected)
    same = "node_(boot_time_seconds|memory_MemTotal_bytes|processes_max_processes) "
    assert [line for line in told if re.match(same, line)] == [
        line for line in expected if re.match(same, line)
    ]


def names(metrics: list[str]) -> set[str]:
    """Return which metrics exist, except those of mounts and process states, which come and go."""
    return {re.split(r"[{ ]", line)[0] for line in metrics}


def test_smem_is_told_where_proc_is(still: Watched, tree: Path) -> None:
    if not shutil.which("smem"):
        pytest.skip("no smem here")
    expected, told = (smem(source, still.child) for source in ("/", str(tree.parent)))
    assert told[0] == pytest.approx(expected[0], rel=0.2)
    assert told[1] == expected[1]


def smem(source: str, pid: int) -> tuple[list[float], str]:
    """Return a process's memory that shrinks if others map the same pages, and the rest."""
    columns = "pid pss uss user rss swap command"
    command = ["smem", "-H", "-S", source, "-P", NAME, "-c", columns]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.split()[0] == str(pid))
    _, pss, uss, rest = line.split(maxsplit=3)
    return [float(pss), float(uss)], rest
