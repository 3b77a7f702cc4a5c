"""untorn race: its options, what it prints where, and how it ends."""

import os
import pty
import re
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result

from tests.helpers.ktap_parser import parse_ktap
from untorn.cli import main
from untorn.errors import OutOfReachError
from untorn.race.case import catalogue
from untorn.race.engine import EngineRaceTarget


def race(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["race", *arguments])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--target", "moon"],
        ["--reader", "odd"],
        ["--maps-file", "smaps", "--reader", "rcu"],
        ["--maps-file", "odd"],
        ["--test", "odd"],
        ["--duration", "0"],
        ["--duration", "nan"],
        ["--seed", "-1"],
    ],
)
def test_wrong_usage_is_status_2_before_anything_is_run(arguments: list[str]) -> None:
    done = race(*arguments)
    assert done.exit_code == 2
    assert "Error: " in done.stderr
    assert done.stdout == ""


def test_the_help_names_every_test_and_has_an_example() -> None:
    text = " ".join(race("--help").stdout.split())
    assert "Example: untorn race" in text
    for name in catalogue():
        assert name.removesuffix("-inside") in text


def test_results_are_ktap_on_stdout_and_nothing_else() -> None:
    options = "--reader", "rcu", "--reader", "vma_lock", "--duration", "0.1", "--seed", "3"
    done = race(*options, "--test", "random", "--test", "resize")
    assert (done.exit_code, done.stderr) == (0, "")
    results, notes = parse_ktap(done.stdout)
    assert [each.name for each in results] == ["engine maps vma_lock", "engine maps rcu"]
    assert [[test.name for test in each.subtests] for each in results] == [["resize", "random"]] * 2
    assert notes[-1].startswith("cases: 8 passed, 0 failed, 0 skipped; reads ")


def test_a_broken_rule_is_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    # No state has the shown lines.
    monkeypatch.setattr("untorn.judge.history.History.first_shown", lambda *_: None)
    done = race("--test", "resize", "--duration", "0.1")
    assert done.exit_code == 1
    assert not parse_ktap(done.stdout)[0][0].ok


def test_nothing_within_reach_is_one_line_and_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OutOfReachError("no child here")

    monkeypatch.setattr(EngineRaceTarget, "open", refuse)
    done = race("--test", "resize", "--test", "split")
    assert (done.exit_code, done.stderr) == (1, "no child here\n")
    assert all(each.ok for each in parse_ktap(done.stdout)[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_its_summary(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "untorn", "race", "--duration", "0.1", "--test", "split"]
    endless = [*command, "--duration", "3600", "--test", "resize", "--verbose"]
    with subprocess.Popen(
        endless,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout
        text = ""
        while "after restore" not in text:
            text += process.stdout.readline()
        os.killpg(process.pid, number)
        rest, stderr = process.communicate(timeout=60)
    results, notes = parse_ktap(text + rest)
    assert process.returncode == 1
    assert stderr == "interrupted\n"
    assert [each.reason for each in results[0].subtests] == ["interrupted"] * 2
    assert notes[-1].startswith("cases: 0 passed, 0 failed, 6 skipped; reads ")


def test_a_terminal_shows_what_is_being_done_and_keeps_only_results() -> None:
    try:
        ours, theirs = pty.openpty()
    except OSError as error:
        pytest.skip(f"there are no terminals here: {error}")
    command = [sys.executable, "-m", "untorn", "race", "--duration", "0.1", "--test", "split"]
    with subprocess.Popen(
        [*command, "--reader", "rcu"], stdout=theirs, stderr=theirs, close_fds=True
    ) as process:
        os.close(theirs)
        shown = read_terminal(ours)
        assert process.wait(60) == 0
    os.close(ours)
    assert "engine maps rcu: split (1 of 1)\r\x1b[K" in shown
    kept = re.sub(r"[^\n]*\r\x1b\[K", "", shown.replace("\r\n", "\n"))
    assert parse_ktap(kept)[0][0].ok


def read_terminal(fd: int) -> str:
    """Read until the other end is closed, which a terminal reports as EIO."""
    text = b""
    while True:
        try:
            more = os.read(fd, 4096)
        except OSError:
            return text.decode()
        if not more:
            return text.decode()
        text += more
