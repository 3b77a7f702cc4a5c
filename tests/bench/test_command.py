"""A command in the scanners' place: where it runs, how it is counted, and that nothing is left."""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.helpers.fuse_mount import mounts
from tests.helpers.made_up import FakeTarget
from tests.helpers.processes import is_alive
from tests.helpers.tasks import wait_until
from untorn.bench.command import check_command, children_of, fill_in, run_command
from untorn.bench.live import LiveBenchTarget
from untorn.bench.run import kinds_of
from untorn.bench.target import BenchOptions
from untorn.cli import main
from untorn.errors import OutOfReachError
from untorn.processes.children import STOP_TIMEOUT, Child, Children, await_ready

CPU = max(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cat /proc/{pid}/maps", ["cat", "/proc/42/maps"]),
        ("a '{pid} {pid}' {} {x}", ["a", "42 42", "{}", "{x}"]),
        ("a --procfs {mount} {mount}/{pid}", ["a", "--procfs", "/m", "/m/42"]),
        ("a 'it''s' \"$HOME\"", ["a", "its", "$HOME"]),
    ],
)
def test_a_command_is_split_as_a_shell_does_and_told_the_mapper(
    text: str, words: list[str]
) -> None:
    assert fill_in(text, 42, "/m") == words


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no command"),
        (" ", "no command"),
        ("cat 'x", "No closing quotation"),
        ("nosuch {pid}", "there is no program nosuch"),
        ("/etc/passwd", "there is no program /etc/passwd"),
    ],
)
def test_what_is_no_command_is_refused_before_anything_is_run(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_command(text)
    done = CliRunner().invoke(main, ["bench", "--target", "live", "--exec", text])
    assert done.exit_code == 2
    assert reason in done.stderr


def test_commands_alone_are_compared_with_none() -> None:
    kinds = kinds_of([FakeTarget()], commands=["a {pid}", "b"])
    assert [(kind.reader, kind.variant) for kind in kinds] == [
        ("none", ""),
        ("exec", "a {pid}"),
        ("exec", "b"),
    ]


def test_commands_come_after_the_readers_that_are_named() -> None:
    kinds = kinds_of([FakeTarget()], ["slow"], ["a"])
    assert [kind.reader for kind in kinds] == ["slow", "exec"]


def test_a_target_that_runs_no_commands_is_passed_over_or_refused() -> None:
    engine = FakeTarget("engine", runs_commands=False)
    kinds = kinds_of([engine, FakeTarget()], ["none"], ["a"])
    assert [str(kind) for kind in kinds] == ["engine/none", "fake/none", "fake/exec (a)"]
    with pytest.raises(LookupError, match="target engine runs no commands; try --target live"):
        kinds_of([engine], [], ["a"])


def test_a_command_alone_is_run_at_target_live(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def bench_target(name: str, tell: object) -> FakeTarget:
        asked.append(name)
        return FakeTarget()

    monkeypatch.setattr("untorn.targets.bench_target", bench_target)
    arguments = ["bench", "--nsamples", "1", "--exec", "true {pid}", "--exec", "true {pid}"]
    done = CliRunner().invoke(main, arguments)
    assert asked == ["live"]
    rows = [line.split()[:4] for line in done.stdout.splitlines()]
    assert rows.count(["fake", "exec,", "true", "{pid}"]) == 1


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def started() -> Iterator[Children]:
    with Children() as children:
        yield children


def start(children: Children, script: str) -> Child:
    """A scanner that runs a shell script over and over."""
    command = ["sh", "-c", script]
    child = children.add(run_command, CPU, 15, patience=STOP_TIMEOUT, command=command)
    await_ready([child])
    child.start()
    return child


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def stop(child: Child) -> dict[str, int]:
    child.stop()
    return child.receive(STOP_TIMEOUT)


@pytest.mark.live
@mounts
def test_it_may_look_at_a_mount_that_is_there_for_the_while_of_the_run() -> None:
    options = BenchOptions(duration=1, scanners=1, mb=1)
    sample = LiveBenchTarget().run("exec", options, 0, "grep -q r-xp {mount}/{pid}/maps")
    assert sample.scans > 0
    assert "failed" not in sample.counters
    assert f" {Path(tempfile.gettempdir(), 'untorn-')}" not in Path("/proc/mounts").read_text()


@pytest.mark.live
def test_it_is_run_again_and_again_in_the_scanners_place(started: Children, log: Path) -> None:
    script = f"echo $(nice) $(grep Cpus_allowed_list /proc/self/status) >> {log}"
    child = start(started, script)
    wait_until(lambda: len(lines(log)) > 2, "a third run")
    counts = stop(child)
    assert counts.keys() == {"scans"}
    assert 0 <= len(lines(log)) - counts["scans"] <= 1  # the last one may have been killed
    assert set(lines(log)) == {f"15 Cpus_allowed_list: {CPU}"}


@pytest.mark.live
def test_it_starts_with_signals_as_a_shell_would_and_no_files_of_ours(
    started: Children, log: Path
) -> None:
    show = "grep -E 'Sig(Blk|Ign)' /proc/self/status; readlink /proc/$$/fd/0 /proc/$$/fd/1"
    child = start(started, f'seen=$({show}; ls /proc/$$/fd); echo "$seen" >> {log}')
    wait_until(lambda: len(lines(log)) >= 7, "a run")
    stop(child)
    blocked, ignored = (int(line.split()[1], 16) for line in lines(log)[:2])
    assert (blocked, ignored & ignored_by_python()) == (0, 0)
    assert lines(log)[2:4] == ["/dev/null"] * 2
    assert lines(log)[4:7] == ["0", "1", "2"]


def ignored_by_python() -> int:
    return 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1


@pytest.mark.live
def test_a_command_that_fails_now_and_then_is_counted(started: Children, log: Path) -> None:
    script = f"echo >> {log}; exit $(( $(wc -l < {log}) % 2 ))"
    child = start(started, script)
    wait_until(lambda: len(lines(log)) > 4, "a fourth run")
    counts = stop(child)
    assert counts["failed"] >= 2
    assert counts["scans"] >= 2


@pytest.mark.live
@pytest.mark.parametrize(
    ("ending", "how"), [("exit 3", "status 3"), ("kill -9 $$", "killed by signal 9")]
)
def test_a_command_that_fails_each_time_is_out_of_reach(
    ending: str, how: str, started: Children, log: Path
) -> None:
    child = start(started, f"echo >> {log}; {ending}")
    wait_until(lambda: len(lines(log)) > 2, "a third run")
    child.stop()
    with pytest.raises(OutOfReachError, match=rf"^sh failed each time: {how}, \d+ times$"):
        child.receive(STOP_TIMEOUT)


@pytest.mark.live
def test_a_program_that_cannot_be_started_is_out_of_reach(
    started: Children, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF nonsense")
    program.chmod(0o755)
    child = started.add(run_command, CPU, 15, command=[str(program)])
    await_ready([child])
    child.start()
    with pytest.raises(OutOfReachError, match=f"^{program}: Exec format error"):
        child.receive(STOP_TIMEOUT)


# One that waits, a child of it, one in its own session, and one whose parent has ended.
FAMILY = (
    "echo $$ >> {log}; sleep 1000 & echo $! >> {log};"
    "setsid sh -c 'echo $$ >> {log}; sleep 1000 & echo $! >> {log}; wait' & wait"
)


def family(log: Path) -> list[int]:
    wait_until(lambda: len(lines(log)) == 4, "four processes of a command")
    return [int(line) for line in lines(log)]


@pytest.mark.live
def test_when_it_is_stopped_nothing_of_a_command_is_left(started: Children, log: Path) -> None:
    child = start(started, FAMILY.format(log=log))
    pids = family(log)
    assert stop(child) == {"scans": 0}
    assert not any(map(is_alive, pids))


@pytest.mark.live
def test_when_a_run_is_broken_off_nothing_of_a_command_is_left(log: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Children() as children:  # noqa: PT012
        start(children, FAMILY.format(log=log))
        pids = family(log)
        raise KeyboardInterrupt
    assert not any(map(is_alive, pids))


@pytest.mark.live
def test_before_the_word_it_ends_at_once(started: Children) -> None:
    child = started.add(run_command, CPU, 15, patience=STOP_TIMEOUT, command=["true"])
    await_ready([child])
    child.kill()
    assert not is_alive(child.pid)


@pytest.mark.live
def test_what_a_run_leaves_in_the_background_is_ended_with_it(started: Children, log: Path) -> None:
    child = start(started, f"sleep 1000 & echo $! >> {log}")
    wait_until(lambda: len(lines(log)) > 20, "some runs")
    wait_until(lambda: not is_alive(int(lines(log)[0])), "the end of what the first run left")
    wait_until(lambda: len(children_of(child.pid)) < 10, "what has ended is reaped")
    stop(child)
    assert not any(is_alive(int(line)) for line in lines(log))


@pytest.mark.live
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_bench_that_is_ended_leaves_nothing_of_a_command(
    number: signal.Signals, log: Path
) -> None:
    command = shlex.join(["sh", "-c", FAMILY.format(log=log)])
    options = ["--nsamples", "100000", "--duration", "0.2", "--mb", "1", "--exec", command]
    with subprocess.Popen(
        [sys.executable, "-m", "untorn", "bench", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: len(lines(log)) > 8, "a second run of the command")
        process.send_signal(number)
        _, stderr = process.communicate()
    assert "Traceback" not in stderr
    started = [int(line) for line in lines(log)]
    wait_until(lambda: not any(map(is_alive, started)), "the end of all that was started")


@pytest.mark.live
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_a_run_with_a_command_has_the_shape_of_a_sample() -> None:
    options = BenchOptions(duration=0.3, mb=1)
    command = "cat /proc/{pid}/maps"
    run = LiveBenchTarget().run("exec", options, 0, command)
    assert (run.reader, run.variant, run.bytes_read) == ("exec", command, 0)
    assert json.dumps(run.as_json())
    assert run.updates
