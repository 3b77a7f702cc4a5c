"""untorn conform: how it ends, and that nothing is left of it."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.helpers.processes import children_of, is_alive
from tests.helpers.tasks import wait_until
from tests.helpers.this_machine import or_skip
from untorn.cli import main
from untorn.conform import live_oracle, pair, running_kernel
from untorn.conform.live_oracle import LiveOracle
from untorn.conform.traced import ptrace
from untorn.conform.traced.bounds import limits_of
from untorn.conform.traced.minimal_child import MinimalChild
from untorn.conform.traced.ptrace import Tracee
from untorn.errors import OutOfReachError, os_error

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make temporary files in the test's own directory, and check that they are gone afterwards."""
    before = children_of(os.getpid())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []
    assert children_of(os.getpid()) == before


@pytest.fixture
def child() -> Iterator[MinimalChild]:
    with or_skip(MinimalChild) as child:
        yield child


def conform(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["conform", *arguments])


@pytest.mark.usefixtures("child")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", [Tracee.seize, limits_of, pair.Pair.renew, pair.Pair.go_ahead])
def test_a_signal_while_it_sets_up_or_runs_ends_it_cleanly(
    where: Callable[..., object], number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = getattr(where, "__func__", where)

    def after_a_signal(*arguments: object) -> object:
        os.kill(os.getpid(), number)
        return function(*arguments)

    owner = {"seize": Tracee, "limits_of": live_oracle}.get(function.__name__, pair.Pair)
    replaced: object = (
        classmethod(after_a_signal) if function.__name__ == "seize" else after_a_signal
    )
    monkeypatch.setattr(owner, function.__name__, replaced)
    done = conform("--ops", "1000000")
    assert done.exit_code == 1
    made = int(function.__name__ == "go_ahead")
    assert done.stderr == f"interrupted after {made} operations\n"
    assert f"{made} operations in" in done.stdout


@pytest.mark.usefixtures("child")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_from_outside_leaves_no_process_and_no_file(
    number: signal.Signals, here: Path
) -> None:
    command = [sys.executable, "-m", "untorn", "conform", "--ops", "1000000"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(here)},
    ) as process:
        wait_until(lambda: any(map(is_traced, children_of(process.pid))), "the child is traced")
        children = children_of(process.pid)
        os.killpg(process.pid, number)  # to its whole group, as a terminal does
        stdout, stderr = process.communicate()
    assert process.returncode == 1
    assert stderr.startswith("interrupted after ")
    assert len(stderr.splitlines()) == 1
    assert "operations in" in stdout
    assert not any(map(is_alive, children))


def is_traced(pid: int) -> bool:
    """Return whether it is traced; before that, a child may still be in its parent's group."""
    try:
        return "\nTracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.usefixtures("child")
def test_an_interrupted_search_for_a_shorter_script_still_shows_the_mismatch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def part(self: object) -> dict[str, int]:
        os.kill(os.getpid(), signal.SIGINT)
        return {}

    monkeypatch.setattr("untorn.conform.engine_side.EngineSide.counts", part)
    done = conform("--ops", "1000000")
    assert done.exit_code == 1
    assert "# mismatch in script 0 of seed 0" in done.stdout
    assert done.stderr == "interrupted after 0 operations\n"


def test_without_the_right_to_trace_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: int) -> None:
        raise os_error(errno.EPERM)

    monkeypatch.setattr(ptrace, "ptrace", refuse)
    done = conform()
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "Error: no child can be traced here: Operation not permitted\n"


def test_without_a_place_for_files_it_is_one_line(
    monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    monkeypatch.setattr("untorn.conform.files.file_system_at", lambda place: "overlay")
    done = conform()
    assert (done.exit_code, done.stdout) == (1, "")
    reason = f"on overlayfs, or not to be written to: {here}, /dev/shm"
    assert done.stderr == f"Error: {reason}\n"


@pytest.mark.usefixtures("child")
def test_a_child_that_is_killed_from_outside_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    catch_up = pair.Pair.catch_up

    def after_its_end(self: pair.Pair) -> object:
        assert isinstance(self.kernel, LiveOracle)
        os.kill(self.kernel.child.pid, signal.SIGKILL)
        return catch_up(self)

    monkeypatch.setattr(pair.Pair, "catch_up", after_its_end)
    done = conform()
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: the traced child ")
    assert len(done.stderr.splitlines()) == 1


class Uname:
    machine, release, version = "x86_64", "6.18.1", "#1 SMP"


def other_architecture(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch.setattr(Uname, "machine", "aarch64")


def old_kernel(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch.setattr(Uname, "release", "5.10.0-37-amd64")


def no_ksm(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch.setitem(running_kernel.FEATURES, "KSM", tmp_path / "none")


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        (other_architecture, "this is aarch64"),
        (old_kernel, r"models Linux 6\.1 and later, this is 5\.10\.0"),
        (no_ksm, "a kernel with KSM, this one has none"),
    ],
)
def test_a_machine_that_is_not_modelled_is_out_of_reach(
    way: Callable[[pytest.MonkeyPatch, Path], None],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "uname", Uname)
    way(monkeypatch, tmp_path)
    with pytest.raises(OutOfReachError, match=reason):
        running_kernel.check_machine()


@pytest.mark.parametrize(
    "arguments", [["--ops", "0"], ["--ops", "many"], ["--script", "/nonexistent"], ["extra"]]
)
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    assert conform(*arguments).exit_code == 2


@pytest.mark.parametrize("line", ["mmap(1)", "jump()", "brk(much)", "brk(1"])
def test_a_script_that_means_nothing_is_status_2_and_told_where(line: str) -> None:
    done = CliRunner().invoke(main, ["conform", "--script", "-"], input=f"# a script\n{line}\n")
    assert done.exit_code == 2
    assert "line 2: " in done.stderr


def test_a_script_that_is_no_text_is_status_2() -> None:
    done = CliRunner().invoke(main, ["conform", "--script", "-"], input=b"\xff\n")
    assert done.exit_code == 2
    assert "can't decode byte 0xff" in done.stderr


def test_a_family_ends_with_its_owner(child: MinimalChild) -> None:
    first = child.pid
    child.fork()
    child.fork()
    pids = {first, child.pid}
    child.exit()
    pids.add(child.pid)
    assert len(pids) == 3
    child.orphan()
    assert not is_alive(first)
    assert is_alive(child.pid)
    child.close()
    assert not any(map(is_alive, pids))


def test_a_copy_goes_on_from_where_its_parent_was(child: MinimalChild) -> None:
    before = child.maps()
    child.fork()
    assert child.maps() == before
    child.call("mmap", 0, 4096, 1, 0x22, -1, 0)
    assert child.maps() != before
    child.exit()
    assert child.maps() == before
