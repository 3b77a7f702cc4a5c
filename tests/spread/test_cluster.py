"""Work spread over a Dask cluster gives the same as on one machine, whatever dies meanwhile."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers.cluster import LONG, LocalCluster, local_cluster
from tests.helpers.tasks import wait_until
from tests.helpers.this_machine import with_its_own_gil
from untorn.check.work import Work, do
from untorn.cli.conform_cluster import run_on_cluster
from untorn.conform.live import LiveConformTarget
from untorn.conform.outcome import ConformRun, ignore
from untorn.conform.target import ConformOptions
from untorn.errors import OutOfReachError

pytest.importorskip("distributed", reason="clusters need Dask")

from distributed.scheduler import KilledWorker, WorkerState

from untorn.spread import cluster as module
from untorn.spread.cluster import Cluster
from untorn.spread.each import each

NAMES = ["A/munmap-0", "A/munmap-1", "A/mprotect-0", "A/mprotect-1", "A/mmap-0", "A/mmap-1"]
"""Explorations that take a tenth of a second."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(scope="module")
def plain() -> dict[str, tuple[int, int]]:
    """Return what this process finds: how many schedules and steps each has."""
    outcomes = {name: do(Work(name, "dfs", None, 1)) for name in NAMES}
    return {name: (each.schedules, each.steps) for name, each in outcomes.items()}


def checking(*more: str) -> subprocess.Popen[str]:
    options = ("--strategy", "dfs", "--preemptions", "1", "--json", "-", *more)
    return subprocess.Popen(
        [sys.executable, "-m", "untorn", "check", *NAMES, *options],
        env=with_its_own_gil(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def found(process: subprocess.Popen[str]) -> dict[str, tuple[int, int]]:
    with process:
        stdout, stderr = process.communicate(timeout=LONG)
    assert not process.returncode, stderr
    explorations = json.loads(stdout)["explorations"]
    return {each["scenario"]: (each["schedules"], each["steps"]) for each in explorations}


def is_under_way(file: Path) -> bool:
    return file.exists() and '"outcome":[' in file.read_text()


def test_a_cluster_finds_what_one_machine_finds(
    cluster: LocalCluster, plain: dict[str, tuple[int, int]]
) -> None:
    assert found(checking("--cluster", cluster.address)) == plain


def test_a_run_whose_client_was_killed_goes_on(
    cluster: LocalCluster, plain: dict[str, tuple[int, int]], tmp_path: Path
) -> None:
    file = tmp_path / "kept.json"
    options = ("--cluster", cluster.address, "--resume", str(file))
    with checking(*options) as client:
        wait_until(lambda: is_under_way(file), "some outcome", LONG)
        client.kill()
    assert found(checking(*options)) == plain


def test_a_worker_that_is_killed_costs_its_piece_only(
    cluster: LocalCluster, plain: dict[str, tuple[int, int]], tmp_path: Path
) -> None:
    file = tmp_path / "kept.json"
    with checking("--cluster", cluster.address, "--resume", str(file)) as client:
        wait_until(lambda: is_under_way(file), "some outcome", LONG)
        cluster.workers.pop().kill()
        assert found(client) == plain


def test_ctrl_c_takes_back_what_was_sent(cluster: LocalCluster, tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    with checking("--cluster", cluster.address, "--resume", str(file)) as client:
        wait_until(lambda: is_under_way(file), "some outcome", LONG)
        client.send_signal(signal.SIGINT)
        _, stderr = client.communicate(timeout=LONG)
    assert "Traceback" not in stderr
    with closing(Cluster(cluster.address)) as pool:
        assert pool.result(pool.submit(abs, -3), "abs") == 3, "nothing stands in the way"


def test_each_yields_what_a_function_returns(cluster: LocalCluster) -> None:
    assert sorted(each(Cluster(cluster.address), abs, [-1, 2, -3])) == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.live
def test_seeds_come_to_what_they_come_to_on_one_machine(cluster: LocalCluster) -> None:
    options = ConformOptions(40, ("1", "2"))
    try:
        here = LiveConformTarget().conform(options, ignore)
    except OutOfReachError as error:
        pytest.skip(str(error))
    (there,) = run_on_cluster(["live"], options, Cluster(cluster.address), lambda done, total: None)
    assert isinstance(there, ConformRun)
    assert (there.counts, there.scripts, there.failures) == (here.counts, here.scripts, [])


def test_other_code_is_refused(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "digest", lambda: "another")
    with (
        closing(Cluster(cluster.address)) as pool,
        pytest.raises(OutOfReachError, match="has another untorn, or another Python"),
    ):
        pool.result(pool.submit(abs, -3), "abs")


def test_who_kills_workers_is_named(cluster: LocalCluster) -> None:
    killed = KilledWorker("abs", WorkerState.__new__(WorkerState), 3)
    future: Future[int] = Future()
    future.set_exception(killed)
    with (
        closing(Cluster(cluster.address)) as pool,
        pytest.raises(OutOfReachError, match="A/grow: 4 workers died while they made it"),
    ):
        pool.result(future, "A/grow")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("tcp://127.0.0.1:1", "there is no scheduler at tcp://127.0.0.1:1"),
        ("nowhere", "nowhere is no address of a scheduler: missing port number"),
    ],
)
def test_where_no_scheduler_answers_is_told_in_a_line(
    address: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 0.2)
    with pytest.raises(OutOfReachError, match=reason):
        Cluster(address)


def test_a_scheduler_that_is_killed_ends_the_run_with_a_line(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    with local_cluster(tmp_path) as cluster:
        # deep has two thousand explorations: the run cannot be over when the first has come.
        with checking("deep", "--cluster", cluster.address, "--resume", str(file)) as client:
            wait_until(lambda: is_under_way(file), "some outcome", LONG)
            cluster.scheduler.kill()
            _, stderr = client.communicate(timeout=LONG)
        assert client.returncode
        *notes, line = stderr.splitlines()
        assert line == f"Error: the scheduler at {cluster.address} is gone"
        assert all(each.startswith("note: ") for each in notes)
    assert is_under_way(file), "the same command goes on from there"
