"""untorn mount DIR --engine FILE."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.helpers.mount_command import mount_command
from tests.helpers.tasks import wait_until
from untorn.cli import main

pytestmark = pytest.mark.live

EMULATOR = """
from untorn.engine import MAP_ANONYMOUS, MAP_PRIVATE, PAGE_SIZE, PROT_READ, Process

first = Process()
first.mmap(0x10000, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS)
processes = {1: first}

def run():
    processes[2] = first.fork()
"""


def test_a_file_is_served_and_goes_on(tmp_path: Path) -> None:
    directory, file = tmp_path / "proc", tmp_path / "emulator.py"
    directory.mkdir()
    file.write_text(EMULATOR)
    with mount_command(directory, "--engine", str(file), "--strategy", "rcu"):
        wait_until(lambda: (directory / "2").exists())
        first, second = ((directory / pid / "maps").read_bytes() for pid in "12")
    assert first.splitlines()[0] == b"00010000-00011000 r--p 00000000 00:00 0 "
    assert second == first


@pytest.mark.parametrize(
    ("text", "options", "status", "reason"),
    [
        ("1 / 0", [], 1, "emulator.py:1: ZeroDivisionError: division by zero"),
        ("", [], 1, "it defines no mapping named processes"),
        (None, [], 1, "No such file or directory"),
        (EMULATOR, ["--max-age", "1"], 2, "--max-age"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    text: str | None, options: list[str], status: int, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "emulator.py"
    if text is not None:
        file.write_text(text)
    arguments = ["mount", str(tmp_path), "--engine", str(file), *options]
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, done.stdout) == (status, "")
    assert reason in done.stderr
    assert status == 2 or done.stderr.count("\n") == 1
