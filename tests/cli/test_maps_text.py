"""untorn maps --text: prints a text or core file in Linux's format, or says why not in one line."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.helpers.core_files import core
from tests.helpers.entries import record
from tests.helpers.other_kernels import OTHER_KERNELS, linux
from tests.helpers.repository import UNTORN
from untorn.cli import main, maps_text

MAPS_TEXT = [*UNTORN, "maps", "--text"]
ANON = b"7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n"
HEAP = linux("7f0000004000-7f0000005000 rw-p 00000000 00:00 0 [heap]")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "maps"


def run(*arguments: str | Path, stdin: bytes = b"") -> tuple[int, bytes, str]:
    done = subprocess.run(
        [*MAPS_TEXT, *map(str, arguments)], input=stdin, capture_output=True, check=False
    )
    return done.returncode, done.stdout, done.stderr.decode()


def quickly(*arguments: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["maps", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("name", OTHER_KERNELS)
def test_it_prints_what_linux_would_and_tells_each_kind_of_difference(
    path: Path, name: str
) -> None:
    case = OTHER_KERNELS[name]
    path.write_bytes(case.text)
    status, stdout, stderr = quickly("--text", path)
    if not case.linux:
        assert (status, stdout) == (1, "")
        assert stderr.startswith(f"Error: {path}: no range is left: {case.told[0]}")
        return
    assert (status, stdout) == (0, case.linux.decode())
    notes = stderr.splitlines()
    assert len(notes) == len(case.told)
    assert all(map(str.startswith, notes, [f"note: {told}" for told in case.told]))


@pytest.mark.parametrize("name", OTHER_KERNELS)
def test_strict_fails_at_the_first_difference(path: Path, name: str) -> None:
    case = OTHER_KERNELS[name]
    path.write_bytes(case.text)
    status, stdout, stderr = quickly("--text", path, "--strict")
    if case.told:
        assert (status, stdout) == (1, "")
        assert stderr.startswith(f"Error: {path}: {case.told[0]}")
        assert stderr.count("\n") == 1
    else:
        assert (status, stdout, stderr) == (0, case.linux.decode(), "")


@pytest.mark.live
def test_the_map_of_this_kernel_passes_the_check() -> None:
    text = Path("/proc/self/maps").read_bytes()
    assert run("-", "--strict", stdin=text) == (0, text, "")


def test_json_is_one_object_a_range(path: Path) -> None:
    path.write_bytes(ANON + HEAP)
    status, stdout, _ = quickly("--text", path, "--json")
    assert status == 0
    assert [json.loads(line)["name"] for line in stdout.splitlines()] == ["", "[heap]"]


def test_a_core_file_is_known_by_its_first_bytes(path: Path) -> None:
    ranges = [record(0x1000, 0x3000, b"r-xp", 0x2000, (0, 0), 0, b"/bin/x")]
    path.write_bytes(core(ranges, ranges))
    status, stdout, stderr = quickly("--text", path)
    assert (status, stdout.encode()) == (0, ranges[0].line())
    assert "note: a core file has no device and no inode" in stderr
    with path.open("rb") as file:
        assert subprocess.check_output([*MAPS_TEXT, "-"], stdin=file, stderr=subprocess.DEVNULL)
    reason = "Error: stdin: a core file cannot be read from a pipe\n"
    assert run("-", stdin=path.read_bytes()) == (1, b"", reason)


@pytest.mark.parametrize(
    "arguments",
    [["maps"], ["maps", "1", "--text", "x"], ["maps", "1", "--strict"], ["maps", "--text"]],
)
def test_a_pid_or_a_text_but_not_both(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no range is left: the text is empty"),
        (b"hello\n", "line 1, column 1: 'hello'; Linux prints an address (%08x): b'hello'"),
        (b"PK\3\4\0\0", "neither a text nor a core file: it has zero bytes"),
        (b"\x7fELF", "a broken core file: "),
        (core([], [], type_=3), "an ELF file, but not a core file"),
    ],
)
def test_what_is_no_map_is_one_line(path: Path, content: bytes, reason: str) -> None:
    path.write_bytes(content)
    status, stdout, stderr = quickly("--text", path)
    assert (status, stdout) == (1, "")
    assert stderr.startswith(f"Error: {path}: {reason}")
    assert stderr.count("\n") == 1


def test_what_cannot_be_read_is_one_line(path: Path) -> None:
    missing = f"Error: {path}: No such file or directory\n"
    assert quickly("--text", path) == (1, "", missing)
    assert quickly("--text", path.parent) == (1, "", f"Error: {path.parent}: Is a directory\n")
    zeros = "Error: /dev/zero: neither a text nor a core file: it has zero bytes\n"
    assert quickly("--text", "/dev/zero") == (1, "", zeros)
    path.write_bytes(ANON)
    path.chmod(0)
    if not os.access(path, os.R_OK):
        assert quickly("--text", path) == (1, "", f"Error: {path}: Permission denied\n")


def test_a_text_without_end_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps_text, "_LIMIT", 1 << 20)
    path.write_bytes(b"x" * (3 << 20))
    assert quickly("--text", path) == (
        1,
        "",
        f"Error: {path}: larger than any map: more than 1 MiB\n",
    )


def test_stdin_that_is_closed_is_one_line() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *MAPS_TEXT, "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "Error: stdin: Bad file descriptor\n")


def test_a_reader_that_has_left_gets_no_traceback(path: Path) -> None:
    path.write_bytes(ANON)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run([*MAPS_TEXT, path], stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (1, b"")


def test_ctrl_c_while_it_waits_for_text_is_no_traceback(path: Path) -> None:
    os.mkfifo(path)
    with subprocess.Popen(
        [*MAPS_TEXT, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as waiting:
        try:
            with path.open("wb") as fifo:  # opened only once the other end is
                fifo.write(ANON)
                fifo.flush()
                waiting.send_signal(signal.SIGINT)
                _, stderr = waiting.communicate(timeout=60)
        finally:
            waiting.kill()
    assert (waiting.returncode, stderr.strip()) == (1, b"Aborted!")
