"""psutil, told by PROCFS_PATH to read our mount, reports the same as on /proc."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.helpers.agents import Watched

pytestmark = pytest.mark.live

ENOUGH = 30
CHANGES = {"cpu_percent"}
"""It depends on when it was last asked."""
OTHERS: dict[str, Callable[[psutil.Process], Any]] = {
    "memory_maps, each": lambda process: process.memory_maps(grouped=False),
    "children": lambda process: process.children(recursive=True),
    "parents": lambda process: process.parents(),
    "is_running": lambda process: process.is_running(),
    "uss": lambda process: process.memory_percent("uss"),
    "connections": lambda process: process.net_connections("all"),
}
"""What as_dict() does not include."""


def told(proc: str | Path, pid: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return all that it reports of a process."""
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(proc))
    process = psutil.Process(pid)
    asked = {name: ask(process) for name, ask in OTHERS.items()}
    return {**process.as_dict(psutil.Process(pid).as_dict().keys() - CHANGES), **asked}


def differences(proc: dict[str, Any], ours: dict[str, Any]) -> Iterable[str]:
    for name in proc.keys() | ours.keys():
        if proc.get(name) != ours.get(name):
            yield f"{name}: {ours.get(name)}, not {proc.get(name)}"


@pytest.mark.parametrize("which", Watched._fields)
def test_it_says_the_same_of_a_process(
    which: str, still: Watched, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = getattr(still, which)
    for _ in range(ENOUGH):  # others share its libraries, and come and go
        found = list(differences(told("/proc", pid, monkeypatch), told(tree, pid, monkeypatch)))
        if not found:
            return
    pytest.fail("\n".join(found))


@pytest.mark.parametrize(
    "ask", [psutil.boot_time, psutil.cpu_count, psutil.disk_partitions, psutil.net_if_addrs]
)
def test_it_says_the_same_of_the_system(
    ask: Callable[[], object], tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ask()
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tree))
    assert ask() == expected


def test_it_sees_each_process(still: Watched, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tree))
    seen = {each.pid: each.info["ppid"] for each in psutil.process_iter(["ppid", "name"])}
    assert seen[still.child] == still.pid
