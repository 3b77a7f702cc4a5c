"""untorn conform --exec as a command: what it prints, how it ends, and that nothing is left."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.conform.program import programs
from tests.conform.program.programs import python
from tests.helpers.nobody import BECOME_NOBODY, as_root
from tests.helpers.processes import children_of, is_alive
from tests.helpers.tasks import wait_until
from tests.helpers.this_machine import or_skip
from untorn.cli import main
from untorn.conform.files import place_on_disk
from untorn.conform.program import engine_calls
from untorn.conform.traced.minimal_child import MinimalChild
from untorn.mm.calls import brk, shm
from untorn.mm.mm_types import MmStruct
from untorn.mm.vmas import merge

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def _traced() -> None:
    or_skip(MinimalChild).close()


@pytest.fixture
def disk() -> None:
    """Skip a replay of files if no file system here is like theirs."""
    or_skip(place_on_disk)


def conform(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["conform", *arguments])


@pytest.fixture
def wrong_brk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the heap of the engine merge with what lies below it."""
    right = brk.do_brk_flags

    def wrong(mm: MmStruct, start: int, end: int, flags: int = 0, *, lowest: int = 0) -> None:
        right(mm, start, end, flags)

    monkeypatch.setattr(brk, "do_brk_flags", wrong)


@pytest.mark.usefixtures("wrong_brk", "disk")
def test_a_mismatch_is_shrunk_to_a_script_that_needs_no_program(tmp_path: Path) -> None:
    done = conform("--exec", "ls", "-d", "/")
    assert done.exit_code == 1
    assert "1 mismatches" in done.stdout
    lines = done.stdout.splitlines()
    script = [line for line in lines if line.endswith(")") and line[0] != "#"]
    assert [line.split("(")[0] for line in script] == ["start_brk", "mmap", "brk"]
    kept = tmp_path / "script"
    kept.write_text("\n".join(script))
    again = conform("--script", str(kept))
    assert again.exit_code == 1
    assert "# mismatch in" in again.stdout


@pytest.mark.usefixtures("disk")
def test_what_page_faults_and_a_fork_did_is_part_of_the_script(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(merge, "is_fork_child", lambda vma: False)
    done = conform("--exec", *python(programs.MAPS_BESIDE_ITS_PARENTS_PAGE))
    lines = done.stdout.splitlines()
    script = [line.split("(")[0] for line in lines if line.endswith(")") and line[0] != "#"]
    assert script == ["mmap", "touch_write", "fork", "mmap"]


def test_a_mismatch_that_no_script_shows_is_printed_with_the_maps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_calls, "_has_huge_pages", lambda: False)
    monkeypatch.setattr(shm, "_detach", lambda mm, addr: None)
    done = conform("--exec", *python(programs.ATTACHES_A_SEGMENT))
    assert done.exit_code == 1
    assert "which no script was found to show:" in done.stdout
    assert "# shmdt(0x" in done.stdout
    assert "# maps before the call:" in done.stdout


@pytest.mark.usefixtures("disk")
def test_what_was_recorded_is_made_again_without_the_program(tmp_path: Path) -> None:
    record = tmp_path / "record"
    done = conform("--exec", "--record", str(record), *python(programs.FORKS_TWICE))
    assert done.exit_code == 0, done.output
    assert record.read_text().count("\ncase ") == 3
    again = conform("--script", str(record))
    assert again.exit_code == 0, again.output
    assert "in 3 scripts" in again.stdout


def test_the_summary_names_calls_and_the_end() -> None:
    done = conform("--exec", *python("raise SystemExit(7)"))
    assert done.exit_code == 0, done.output
    assert "0 not modelled, 0 mismatches; 1 programs, 1 processes, 1 threads" in done.stdout
    assert done.stdout.endswith("exit status 7\n")
    assert "calls/s" in done.stdout


def test_a_program_that_is_not_there_is_one_line() -> None:
    done = conform("--exec", "no-such-program")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "Error: no-such-program: no such program\n"


def test_a_program_that_may_not_be_executed_is_told_as_that(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/true\n")
    done = conform("--exec", str(program))
    assert (done.exit_code, done.stderr) == (1, f"Error: {program}: Permission denied\n")


@pytest.mark.parametrize("arguments", [["--seed", "1", "ls"], ["no-such-program"]])
def test_a_record_of_what_does_not_begin_leaves_the_file_as_it_was(
    tmp_path: Path, arguments: list[str]
) -> None:
    record = tmp_path / "record"
    record.write_text("kept")
    assert conform("--exec", "--record", str(record), *arguments).exit_code > 0
    assert record.read_text() == "kept"


def test_a_record_that_cannot_be_written_is_told_before_the_program_begins(tmp_path: Path) -> None:
    record, made = tmp_path / "nowhere" / "record", tmp_path / "made"
    done = conform("--exec", "--record", str(record), "touch", str(made))
    assert (done.exit_code, done.stderr) == (1, f"Error: {record}: No such file or directory\n")
    assert not made.exists()


@pytest.mark.parametrize("arguments", [["--exec"], ["ls"]])
def test_a_command_belongs_to_exec(arguments: list[str]) -> None:
    assert conform(*arguments).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-seccomp"],
        ["--record", "-"],
        ["--record", "-", "--suite", "vma"],
        ["--seed", "1", "--suite", "vma"],
        ["--target", "live", "--exec", "ls"],
        ["--abi", "i386", "--exec", "ls"],
        ["--suite", "vma", "--exec", "ls"],
    ],
)
def test_an_option_that_would_do_nothing_is_refused(arguments: list[str]) -> None:
    done = conform(*arguments)
    assert done.exit_code == 2
    assert f"{arguments[0]} does nothing in this kind of run" in done.stderr


def test_cases_with_addresses_of_64_bits_are_no_cases_of_32_bits() -> None:
    done = conform("--suite", "vma", "--abi", "i386")
    assert done.exit_code == 2
    assert "the cases of --suite have addresses of 64 bits" in done.stderr


@as_root
def test_an_ordinary_user_may_trace_his_programs() -> None:
    code = f"""
import os
from untorn.conform.program.run import run_program
{BECOME_NOBODY}
run = run_program(["sh", "-c", "ls / | wc -l"])
print(run.ending, run.mismatches, run.programs, run.operations > 20)
"""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "0 [] 3 True"


def test_ctrl_c_ends_the_program_and_tells_what_was_compared() -> None:
    begun = "import subprocess; subprocess.run(['sleep', '1000'])"
    command = [sys.executable, "-m", "untorn", "conform", "--exec", *python(begun)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as untorn:
        wait_until(lambda: bool(descendants(untorn.pid)) and sleeps(untorn.pid))
        left = descendants(untorn.pid)
        untorn.send_signal(signal.SIGINT)
        out, err = untorn.communicate()
    assert untorn.returncode == 1
    assert b"calls compared" in out
    assert b"interrupted after" in err
    assert not any(map(is_alive, left))


def descendants(pid: int) -> set[int]:
    """Return the children and grandchildren of a process."""
    children = children_of(pid)
    return children.union(*(descendants(child) for child in children))


def sleeps(pid: int) -> bool:
    """Return whether one of the descendants is the sleeping program."""
    names = [Path(f"/proc/{each}/comm") for each in descendants(pid)]
    return any(name.exists() and name.read_text() == "sleep\n" for name in names)
