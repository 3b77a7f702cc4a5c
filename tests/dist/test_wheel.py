"""The wheel in an empty environment: every command works, its types are seen, its manual is there.

`make dist` installs what it takes and builds the wheel.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

import untorn
from tests.helpers.repository import ROOT
from tools.manual import pages
from untorn.serve.fuse.support import mount_refusal

pytestmark = pytest.mark.timeout(1800)  # what the wheel needs is fetched and installed
ME = str(os.getpid())
USES = {
    "bench": "--target sim --reader none --nsamples 1 --duration 0.01 --mb 8",
    "check": "script/a10",
    "conform": "--ops 50",
    "doctor": "",
    "export": "--once",
    "kernels": "",
    "maps": ME,
    "memory": ME,
    "query": f"{ME} 0 --next",
    "race": "--reader vma_lock --test split --duration 0.5",
    "stale": "--json",
}
"""A real use of each command that ends by itself."""
PROGRAM = """
import os

from untorn import MapsEntry, Memory, Snapshot, memory, snapshot
from untorn.engine import MAP_ANONYMOUS, MAP_PRIVATE, PAGE_SIZE, PROT_READ, Process

taken: Snapshot = snapshot(os.getpid())
first: MapsEntry | None = taken.find(0)
counted: Memory = memory(os.getpid())
resident: int | None = counted.total.rss
process = Process(release=(6, 12))
start: int = process.mmap(0, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS)
"""
MISTAKES = ("taken.find('0')", "process.mmap('0')", "resident.nothing")


@pytest.fixture(scope="module")
def wheel() -> Path:
    try:
        (found,) = (ROOT / "dist").glob("*.whl")
    except ValueError:
        pytest.skip("no wheel; make dist builds it")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", f"{wheel}[all]"]
    subprocess.run(pip, check=True)
    return folder


def run(installed: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(installed / "bin/untorn"), *arguments],
        cwd=installed,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", [page.command for page in pages()])
def test_every_command_has_help(installed: Path, command: str) -> None:
    done = run(installed, [*command.split()[1:], "--help"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: {command}")


@pytest.mark.live
@pytest.mark.parametrize("command", USES)
def test_commands_work(installed: Path, command: str) -> None:
    done = run(installed, [command, *USES[command].split()])
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.live
def test_watch_works(installed: Path) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as watched:
        command = [str(installed / "bin/untorn"), "watch", str(watched.pid)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
            assert watcher.stdout is not None
            assert '"first"' in watcher.stdout.readline()
            assert watched.stdin is not None
            watched.stdin.close()
            assert '"ended"' in watcher.stdout.read()
    assert watcher.returncode == 0


@pytest.mark.live
@pytest.mark.skipif(bool(mount_refusal()), reason=mount_refusal())
def test_mount_works(installed: Path, tmp_path: Path) -> None:
    with subprocess.Popen([installed / "bin/untorn", "mount", tmp_path]) as server:
        while server.poll() is None and not (tmp_path / ME / "maps").exists():
            time.sleep(0.05)
        text = (tmp_path / ME / "maps").read_text()
        server.send_signal(signal.SIGTERM)
    assert server.returncode == 0
    assert "[heap]" in text


def test_the_manual_is_installed(installed: Path) -> None:
    manual = {each.name for each in (installed / "share/man/man1").glob("untorn*")}
    assert manual == {f"{page.name}.1" for page in pages()}


def test_the_version_is_that_of_the_changelog(wheel: Path) -> None:
    newest = next(
        line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")
    )
    assert newest.split()[1] == untorn.__version__
    assert wheel.name.startswith(f"untorn-{untorn.__version__}-")


def test_shells_complete(installed: Path) -> None:
    done = subprocess.run(
        [installed / "bin/untorn"],
        env=os.environ | {"_UNTORN_COMPLETE": "bash_source"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "complete" in done.stdout


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_types_are_seen(installed: Path, checker: str, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name(checker)
    if not program.exists() and shutil.which(checker) is None:
        pytest.skip(f"no {checker}")
    options = {
        "mypy": ["--strict", "--python-executable", str(installed / "bin/python")],
        "pyright": ["--pythonpath", str(installed / "bin/python")],
    }[checker]
    (tmp_path / "good.py").write_text(PROGRAM)
    (tmp_path / "bad.py").write_text(PROGRAM + "\n".join(MISTAKES) + "\n")
    good, bad = (
        subprocess.run(
            [program, *options, name], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        for name in ("good.py", "bad.py")
    )
    assert good.returncode == 0, good.stdout + good.stderr
    lines = PROGRAM.count("\n") + 1
    found = {line for line in range(lines, lines + 3) if f"bad.py:{line}" in bad.stdout}
    assert len(found) == len(MISTAKES), bad.stdout
