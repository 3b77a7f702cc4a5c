"""untorn check, as a user calls it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import pytest
from click.testing import CliRunner, Result

from tests.helpers.tasks import PATIENCE, wait_until
from untorn.check.checkpoint import Checkpoint
from untorn.check.mutants import MUTANTS
from untorn.check.run import run
from untorn.check.scenarios import SCENARIOS
from untorn.check.telling import record, report
from untorn.check.work import Work, WorkOutcome, do
from untorn.cli import main
from untorn.spread import pools
from untorn.spread.workers import Workers

STARTED = 1.5
"""Seconds of CPU time after which a worker has certainly begun to explore."""
T = TypeVar("T")


class Here:
    """An executor that does everything at once in this process."""

    def __init__(self, *_: object) -> None:
        pass

    def submit(self, function: Callable[..., T], *arguments: object) -> Future[T]:
        future: Future[T] = Future()
        future.set_result(function(*arguments))
        return future

    def result(self, future: Future[T], name: str) -> T:
        return future.result()

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "Workers", Here)


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", *arguments])


def test_what_holds_is_told_with_its_figures() -> None:
    result = check("maps/split-above")
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()][1][:2] == [
        "maps/split-above",
        "117",
    ]
    assert "117 schedules" in result.stdout.splitlines()[-1]


def test_a_group_is_all_its_scenarios() -> None:
    result = check("script")
    assert result.exit_code == 0
    assert result.stdout.count("holds") == len(SCENARIOS.named("script"))


def test_a_failure_is_told_and_can_be_replayed(tmp_path: Path) -> None:
    file = tmp_path / "gap.json"
    found = check("--mutant", "linux-6.17", "--json", str(file))
    assert found.exit_code == 1
    assert "rule 2: a range is left out" in found.stdout
    again = check("--schedule", str(file))
    assert again.exit_code == 1
    assert again.stdout.strip() in found.stdout


def test_a_schedule_of_other_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "gap.json"
    check("--mutant", "linux-6.17", "--json", str(file))
    monkeypatch.setattr(record, "code_hash", lambda: "another")
    result = check("--schedule", str(file))
    assert result.exit_code == 2
    assert "of other code" in result.stderr


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"code": 1, "explorations": [{}]}', "\0"])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    result = check("--schedule", str(file))
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].endswith("no record of a run of the checker")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scenario", "no-such"),
        ("scenario", []),
        ("mutant", "no-such"),
        ("switches", {"0": 99}),
        ("switches", {"0": -1}),
        ("switches", {"-1": 0}),
        ("switches", {"0": float("inf")}),
        ("switches", {"x": 0}),
    ],
)
def test_a_record_of_what_there_is_not_is_refused(tmp_path: Path, key: str, value: object) -> None:
    file = tmp_path / "gap.json"
    check("--mutant", "linux-6.17", "--json", str(file))
    content = json.loads(file.read_text())
    content["explorations"][0][key] = value
    file.write_text(json.dumps(content))
    result = check("--schedule", str(file))
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"Error: {file}: ")


def test_a_file_nested_without_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "deep.json"
    file.write_text("[" * 200_000)
    result = check("--schedule", str(file))
    assert result.exit_code == 2
    assert "no record of a run" in result.stderr


def test_a_schedule_is_replayed_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("{}")
    for more in ("maps",), ("--mutant", "linux-6.17"), ("--json", str(tmp_path / "y.json")):
        result = check("--schedule", str(file), *more)
        assert result.exit_code == 2
        assert "it takes nothing else" in result.stderr


def test_a_script_that_shows_other_pages_is_told_as_that() -> None:
    result = check("script/a13", "--mutant", "recheck-goes-on")
    assert result.exit_code == 1
    assert result.stdout.rstrip().splitlines()[-1] != "nothing broke"
    assert result.stdout.count("shown were ((-1, 0, ") > 1


def test_a_script_that_does_not_end_is_given_up() -> None:
    result = check("script/a15", "--mutant", "position-by-vm-start")
    assert result.exit_code == 1
    assert "inconclusive" in result.stdout


def test_a_bound_on_preemptions_is_no_proof() -> None:
    result = check("--mutant", "linux-6.17", "--strategy", "dfs", "--preemptions", "0")
    assert "nothing found with 0 preemptions or fewer" in result.stdout


def test_a_matrix_that_was_interrupted_says_nothing_of_mutants_not_decided() -> None:
    def outcome(name: str, *, complete: bool, failure: str = "") -> WorkOutcome:
        made = Work("maps/join-right", "dpor", name)
        return WorkOutcome(made, 1, 0, 0, 1, 0.0, complete, failure, ())

    found = [
        outcome("linux-6.17", complete=True, failure="rule 2"),
        outcome("no-wake-up", complete=False),
    ]
    works = [*(each.work for each in found), Work("maps/join-right", "dpor", "no-first-check")]
    assert report.decided(works, found) == found[:1]


def test_a_record_without_a_failure_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "good.json"
    check("script/a01", "--json", str(file))
    result = check("--schedule", str(file))
    assert result.exit_code == 2
    assert "nothing failed" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such",),
        ("--mutant", "no-such"),
        ("--strategy", "no-such"),
        ("--preemptions", "2"),
        ("--schedule", "/no/such/file"),
        ("script/a01", "--json", "/no/such/directory/x.json"),
        ("--mutant", "count-relaxed"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: tuple[str, ...]) -> None:
    result = check(*arguments)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()[3:]) == 1


def test_json_has_the_figures() -> None:
    result = check("script/a01", "maps/join-right", "--json", "-")
    found = json.loads(result.stdout)
    assert [each["scenario"] for each in found["explorations"]] == ["script/a01", "maps/join-right"]
    assert all(each["complete"] and not each["failure"] for each in found["explorations"])


def test_the_matrix_names_mutants_strategies_and_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = ("linux-6.17", "no-wake-up", "smaps-goes-on")
    monkeypatch.setattr("untorn.check.mutants.MUTANTS", {name: MUTANTS[name] for name in chosen})
    result = check("--mutant", "all", "--strategy", "dpor")
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()[1:4]}
    assert rows.keys() == set(chosen)
    assert rows["linux-6.17"][0] == "33"
    assert rows["smaps-goes-on"] == ["-", "equivalent"]
    assert "dpor: 2 of 2 killed" in result.stdout


def test_under_weak_memory_the_matrix_is_of_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = ("linux-6.17", "put-relaxed", "begin-release")
    monkeypatch.setattr("untorn.check.mutants.MUTANTS", {name: MUTANTS[name] for name in chosen})
    result = check("maps/split-above", "--mutant", "all", "--memory", "linux")
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()[1:3]}
    assert rows.keys() == {"put-relaxed", "begin-release"}
    assert rows["put-relaxed"][0] == "1"
    assert rows["begin-release"] == ["-", "equivalent"]


@contextlib.contextmanager
def exploring() -> Iterator[subprocess.Popen[str]]:
    """Run two explorations, the last of which takes minutes; yield when that is under way."""
    models = ["script/a01", "deep/3/page/munmap+mmap+munmap"]
    command = [sys.executable, "-m", "untorn", "check", *models]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_until(
            lambda: max(workers(process.pid).values(), default=0) > STARTED, "the explorations"
        )
        yield process
    wait_until(lambda: not workers(process.pid), "the end of all processes")


def test_ctrl_c_prints_what_was_explored_and_leaves_no_process() -> None:
    with exploring() as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "script/a01" in stdout
    assert "unfinished" in stdout
    assert stderr == "interrupted; 2 explorations begun or done\n"


def test_sigterm_to_all_processes_is_told_as_an_interruption() -> None:
    with exploring() as process:
        os.killpg(process.pid, signal.SIGTERM)  # as timeout(1) does
        _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert re.fullmatch(r"interrupted; \d explorations begun or done\n", stderr)


def test_a_process_that_is_killed_is_one_line() -> None:
    with exploring() as process:
        seconds = workers(process.pid)
        os.kill(max(seconds, key=seconds.__getitem__), signal.SIGKILL)
        _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert stderr == "Error: a worker was killed: out of memory?\n"


def test_a_run_that_is_killed_leaves_no_process() -> None:
    with exploring() as process:
        process.kill()


def workers(session: int) -> dict[int, float]:
    """Return the CPU seconds of each process in a session except its first, by PID."""
    seconds = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and int(stat.parent.name) != session:
                ticks = os.sysconf("SC_CLK_TCK")
                seconds[int(stat.parent.name)] = int(fields[11]) / ticks
    return seconds


def test_processes_explore_what_this_one_would() -> None:
    works = [Work("script/a10"), Work("maps/join-right")]
    found = {outcome.work: outcome.schedules for outcome in run(Checkpoint(works), Workers())}
    assert found == {work: do(work).schedules for work in works}


def test_results_are_told_before_a_file_that_cannot_be_written() -> None:
    result = check("meet/one-file", "--mutant", "no-file-lock", "--json", "/dev/full")
    assert result.exit_code == 1
    assert "1 broken" in result.stdout
    assert "data race" in result.stdout.splitlines()[-1]
    assert "No space left" in result.stderr


def test_a_file_without_a_name_is_wrong_usage() -> None:
    result = check("script/a01", "--json", "")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("Error: Invalid value for '--json'")


def test_a_schedule_that_cannot_be_followed_says_so(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    outcome = do(Work("maps/split-above", mutant="no-wake-up"))
    text = record.as_json([outcome], {0: dict.fromkeys(range(200), 0)})
    file.write_text(text)
    result = check("--schedule", str(file))
    assert "the task that was to run could not" in result.stdout.splitlines()[-1]
