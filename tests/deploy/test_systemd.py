"""The units say what systemd knows, keep a service from what it does not need, and run it."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from tests.helpers.repository import ROOT
from untorn.cli import main

UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
OK = 50
"""Of an exposure of 0 to 100. Source: src/analyze/analyze-security.c, badness_table."""
MOUNTS_ARE_SEEN = UNITS[1]
OWN_MOUNTS = re.compile(
    "^(Private(Tmp|Devices|Mounts)|Protect(System|Home|Kernel.*|ControlGroups|Proc)|ProcSubset|"
    "(ReadOnly|ReadWrite|Inaccessible|Bind|BindReadOnly|NoExec|Exec)Paths|TemporaryFileSystem|"
    "DynamicUser|Root(Directory|Image)|MountFlags)=",
    re.MULTILINE,
)
"""What gives a service its own mount namespace. Source: systemd.exec(5), PrivateMounts=."""


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True)


def command_in(unit: Path) -> list[str]:
    found = re.search("^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
    assert found
    return shlex.split(found[1])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_hardened(unit: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={OK}", str(unit))
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze judges no files here: it is older than 250")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_says_what_systemd_knows(unit: Path, tmp_path: Path) -> None:
    program = shutil.which("true")
    assert program
    installed = tmp_path / unit.name
    installed.write_text(unit.read_text().replace("/opt/untorn/bin/untorn", program))
    done = analyze("verify", "--man=no", str(installed))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_runs_a_command_that_there_is(unit: Path) -> None:
    program, name, *arguments = command_in(unit)
    assert program.endswith("/bin/untorn")
    command = main.get_command(click.Context(main), name)
    assert command
    command.make_context(name, arguments)


def test_what_is_mounted_is_seen_outside() -> None:
    assert command_in(MOUNTS_ARE_SEEN)[1] == "mount"
    assert not OWN_MOUNTS.search(MOUNTS_ARE_SEEN.read_text())
