"""The script that makes fresh machines refuses wrong usage; its filter refuses system calls."""

import errno
import platform
import subprocess
import sys

import pytest

from tests.helpers.repository import ROOT

FRESH, FILTERED = (str(ROOT / "tools" / name) for name in ("fresh.sh", "filtered.py"))
CALLS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for number in map(int, sys.argv[1:]):
    print(libc.syscall(number, -1, -1, -1, -1, -1), ctypes.get_errno())
"""
PTRACE, PERF_EVENT_OPEN, MSEAL = 101, 298, 462


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True)


def test_help_shows_an_example_of_each_option() -> None:
    done = run(FRESH, "--help")
    options, _, examples = done.stdout.partition("skipped.")
    assert (done.returncode, done.stderr) == (0, "")
    for option in ("--suite", "--here", "--user", "--tmp", "--container", "--keep", "--python"):
        assert option in options
        assert option in examples


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--nothing"], "unrecognized option '--nothing'"),
        (["--suite"], "option '--suite' requires an argument"),
        (["--python", "python3.13"], "--python goes with --here: a Debian brings its own"),
        (["--tmp", "btrfs"], "--tmp is disk, tmpfs or overlay, not btrfs"),
        (["--without", "caps", "--without", "air"], "--without pts, trace, caps or calls, not air"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: list[str], reason: str) -> None:
    done = run(FRESH, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"fresh.sh: {reason}\n"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the filter knows the calls of x86-64")
def test_what_a_filter_refuses_is_refused_to_all_that_is_started_under_it() -> None:
    calls = map(str, (PTRACE, PERF_EVENT_OPEN, MSEAL))
    done = run(
        sys.executable, FILTERED, "sh", "-c", '"$@"', "sh", sys.executable, "-c", CALLS, *calls
    )
    assert done.stdout.splitlines() == [f"-1 {n}" for n in (errno.EPERM, errno.EPERM, errno.ENOSYS)]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the filter knows the calls of x86-64")
def test_the_status_of_the_command_is_that_of_the_filter() -> None:
    assert run(sys.executable, FILTERED, "sh", "-c", "exit 7").returncode == 7
