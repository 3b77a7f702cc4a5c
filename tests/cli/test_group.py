"""The command line as a whole: help, errors, speed."""

import os
import subprocess
import sys
import warnings

import click
import pytest
from click.testing import CliRunner

from untorn import __version__, cli
from untorn.errors import OutOfReachError


def run_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Exit status and stderr of a command that raises."""

    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *arguments: failing)
    done = CliRunner().invoke(cli.main, ["failing"])
    return done.exit_code, done.stderr


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OutOfReachError("one CPU only"), "Error: one CPU only\n"),
        (PermissionError(13, "Permission denied", "/proc/1/maps"), "/proc/1/maps: Permission"),
        (OSError(12, "Cannot allocate memory"), "Error: Cannot allocate memory\n"),
        (TimeoutError("no answer"), "Error: no answer\n"),
    ],
)
def test_an_error_is_one_line_and_status_1(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, stderr = run_with(error, monkeypatch)
    assert status == 1
    assert line in stderr
    assert stderr.count("\n") == 1


def test_an_interrupt_is_status_1_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    status, stderr = run_with(KeyboardInterrupt(), monkeypatch)
    assert status == 1
    assert stderr.strip() == "Aborted!"


@pytest.mark.filterwarnings("always")
def test_a_warning_is_one_line_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def warning() -> None:
        warnings.warn("read without a raised priority", RuntimeWarning, stacklevel=1)

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *arguments: warning)
    done = CliRunner().invoke(cli.main, ["warning"])
    assert (done.exit_code, done.stderr) == (0, "note: read without a raised priority\n")


def test_our_own_mistakes_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def failing() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *arguments: failing)
    assert isinstance(CliRunner().invoke(cli.main, ["failing"]).exception, ZeroDivisionError)


@pytest.mark.parametrize("command", cli.main.list_commands(click.Context(cli.main)))
def test_every_command_has_help_with_an_example_and_its_exit_statuses(command: str) -> None:
    done = CliRunner().invoke(cli.main, [command, "--help"])
    assert done.exit_code == 0
    assert f"Example: untorn {command}" in done.stdout
    for status in ("Exit status: 0 ", "; 1 ", "2 wrong usage"):
        assert status in done.stdout


@pytest.mark.parametrize("arguments", [["nonsense"], ["bench", "--nonsense"], ["doctor", "x"]])
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli.main, arguments).exit_code == 2


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(cli.main, ["--version"]).stdout == f"untorn {__version__}\n"


def test_help_imports_no_heavy_library() -> None:
    code = (
        "import atexit, sys; from untorn.cli import main\n"
        "atexit.register(lambda: print({'numpy', 'rich', 'matplotlib'} & set(sys.modules)))\n"
        "main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


@pytest.mark.parametrize("arguments", [["--help"], ["doctor"], ["doctor", "--json"]])
def test_a_reader_that_has_left_gets_no_traceback(arguments: list[str]) -> None:
    # As `untorn ... | head -1`, with the reader gone before the first byte.
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "untorn", *arguments]
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 1
