"""untorn bench: its options, what it prints where, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.helpers.made_up import FakeTarget
from tests.helpers.processes import children_of, is_alive
from tests.helpers.tasks import wait_until
from untorn.bench.target import BenchOptions
from untorn.cli import bench_output, main
from untorn.errors import OutOfReachError
from untorn.sim.costs import CostTable


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> FakeTarget:
    """A target that stands for every name."""
    fake = FakeTarget()
    monkeypatch.setattr("untorn.targets.bench_target", lambda name, tell: fake)
    return fake


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", *arguments])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nsamples", "0"],
        ["--nsamples", "many"],
        ["--duration", "0"],
        ["--duration", "-1"],
        ["--duration", "nan"],
        ["--duration", "inf"],
        ["--busyduration", "0"],
        ["--busyduration", "inf"],
        ["--scanners", "0"],
        ["--mb", "0"],
        ["--mb", str(1 << 40)],
        ["--seed", "-1"],
        ["--workload", "odd"],
        ["--resident", "-1"],
        ["--resident", str(1 << 40)],
        ["--resident", "1.5"],
        ["--huge"],
        ["--huge", "--resident", "3"],
        ["--reader", "odd"],
        ["--plot", "bench.gif"],
        ["--plot", "bench"],
        ["--plot", "/nonexistent/bench.svg"],
        ["--plot-kind", "odd"],
        ["--json", "/nonexistent/bench.json"],
        ["--json", "/"],
        ["--json", "-", "--rawdata"],
        ["--cluster", "tcp://127.0.0.1:1"],
    ],
)
def test_wrong_usage_is_status_2_before_anything_is_run(
    arguments: list[str], target: FakeTarget
) -> None:
    done = bench(*arguments)
    assert done.exit_code == 2
    assert "Error: " in done.stderr
    assert target.runs == []


def test_an_unknown_target_is_status_2_and_told_which_there_are() -> None:
    done = bench("--target", "nowhere")
    assert done.exit_code == 2
    known = "engine, engine:RELEASE, sim, sim:RELEASE, live, vm:KERNEL"
    assert f"no target nowhere; targets: {known}" in done.stderr


def test_an_unknown_reader_is_told_which_there_are(target: FakeTarget) -> None:
    assert "no reader odd at target fake; readers: none, slow" in bench("--reader", "odd").stderr


def test_costs_that_are_none_are_out_of_reach_with_the_reason(
    target: FakeTarget, tmp_path: Path
) -> None:
    file = tmp_path / "costs.json"
    CostTable.load().save(file)
    file.write_text(file.read_text().replace("maps_line", "maps_lime"))

    done = bench("--costs", str(file))

    assert done.exit_code == 1
    assert "maps_lime" in done.stderr
    assert target.runs == []


def test_a_table_is_printed_and_no_progress_when_piped(target: FakeTarget) -> None:
    done = bench("--nsamples", "3")
    rows = [line.split()[:3] for line in done.stdout.splitlines()]
    assert ["fake", "none", "3"] in rows
    assert ["fake", "slow", "3"] in rows
    assert (done.exit_code, done.stderr) == (0, "")


def test_rawdata_is_printed_in_place_of_the_table(target: FakeTarget) -> None:
    done = bench("--nsamples", "2", "--rawdata", "--reader", "slow")
    assert done.stdout.splitlines() == [
        "# fake slow: median, mean, max in ms; 0 hangs",
        "    1.000     1.000     1.000",
        "    1.000     1.000     1.000",
    ]


def test_json_to_stdout_is_all_there_is_on_stdout(target: FakeTarget) -> None:
    resident = ("--resident", "6", "--huge", "--workload", "fault")
    content = json.loads(bench("--nsamples", "2", "--json", "-", "--mb", "3", *resident).stdout)
    asked = BenchOptions(nsamples=2, mb=3, workload="fault", resident_mb=6, huge=True)
    assert content["options"] == asdict(asked)
    assert [each["reader"] for each in content["samples"]] == ["none", "slow"] * 2
    assert content["environment"]["kernel"] == os.uname().release


def test_files_are_written_beside_the_table(target: FakeTarget, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figures, picture = tmp_path / "bench.json", tmp_path / "bench.svg"
    done = bench("--nsamples", "1", "--json", str(figures), "--plot", str(picture))
    assert "fake" in done.stdout
    assert len(json.loads(figures.read_text())["samples"]) == 2
    assert "<svg" in picture.read_text()


def test_a_picture_may_be_of_another_kind_and_of_variants(
    target: FakeTarget, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    target.variants = {"slow": ("a", "b")}
    picture = tmp_path / "bench.svg"
    kind = ("--plot-kind", "runs", "--plot", str(picture))
    bench("--nsamples", "1", "--reader", "slow", "--reader", "slow, b", *kind)
    text = picture.read_text()
    assert "<!-- fake: mean of each run -->" in text
    assert "<!-- slow, b -->" in text
    assert "<!-- not drawn: 1 variant -->" in text


def test_without_matplotlib_the_extra_is_named(
    target: FakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_output, "find_spec", lambda name: None)
    done = bench("--plot", "bench.svg")
    assert (done.exit_code, target.runs) == (1, [])
    assert "pip install 'untorn[plot]'" in done.stderr


def test_a_file_that_cannot_be_written_is_named_and_the_table_is_there(target: FakeTarget) -> None:
    result = bench("--json", "/dev/full")
    assert result.exit_code == 1
    assert result.stderr.endswith("Error: /dev/full: No space left on device\n")
    assert "none" in result.stdout


def test_a_target_given_twice_is_run_once(target: FakeTarget) -> None:
    bench("--target", "live", "--target", "live", "--nsamples", "1")
    assert len(target.runs) == 2


def test_all_out_of_reach_is_one_line_and_status_1(target: FakeTarget, tmp_path: Path) -> None:
    def refuse(reader: str, number: int) -> None:
        raise OutOfReachError("one CPU only")

    target.on_run = refuse
    figures = tmp_path / "bench.json"
    done = bench("--json", str(figures))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "one CPU only\n"
    assert not figures.exists()


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["--reader", "slow"], 1)])
def test_a_reader_out_of_reach_is_a_failure_only_if_asked_for_by_name(
    arguments: list[str], status: int, target: FakeTarget
) -> None:
    def refuse_slow(reader: str, number: int) -> None:
        if reader == "slow":
            raise OutOfReachError("no ioctl")

    target.on_run = refuse_slow
    done = bench("--nsamples", "1", "--reader", "none", *arguments) if arguments else bench()
    assert (done.exit_code, done.stderr) == (status, "fake/slow: no ioctl\n")
    assert "none" in done.stdout


def test_an_interrupted_run_prints_what_was_measured(target: FakeTarget) -> None:
    def interrupt(reader: str, number: int) -> None:
        if (reader, number) == ("slow", 1):
            raise KeyboardInterrupt

    target.on_run = interrupt
    done = bench()
    assert done.exit_code == 1
    assert ["fake", "none", "2"] in [line.split()[:3] for line in done.stdout.splitlines()]
    assert done.stderr == "interrupted after 3 samples\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_simulated_runs_ends_them_with_their_workers(number: signal.Signals) -> None:
    options = ["--nsamples", "100", "--duration", "600", "--mb", "1", "--reader", "none"]
    command = [sys.executable, "-m", "untorn", "bench", "--target", "sim", *options]
    seen: set[int] = set()

    def workers_have_started() -> bool:
        seen.update(children_of(process.pid))
        return len(seen) > 1  # besides the one that tracks what they share

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        wait_until(workers_have_started, "workers")
        os.killpg(process.pid, number)
        stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (1, "")
    assert stderr == "interrupted after 0 samples\n"
    # Their tracker ends once it sees that nobody is left.
    wait_until(lambda: not any(map(is_alive, seen)), "the end of all that was started")


@pytest.mark.live
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_a_live_run_leaves_no_process_behind(number: signal.Signals) -> None:
    options = ["--nsamples", "100000", "--duration", "0.05", "--mb", "1"]
    command = [sys.executable, "-m", "untorn", "bench", "--target", "live", *options]
    seen: set[int] = set()

    def first_sample_is_taken() -> bool:
        seen.update(children_of(process.pid))
        return len(seen) > 2 * 5  # a run has at most five processes

    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_until(first_sample_is_taken, "processes of a second run")
        os.killpg(process.pid, number)  # to its whole group, as a terminal does
        stdout, stderr = process.communicate()
    assert process.returncode == 1
    assert ["live", "none"] in [line.split()[:2] for line in stdout.splitlines()]
    assert "interrupted after" in stderr
    assert "Traceback" not in stderr
    assert not any(map(is_alive, seen))
