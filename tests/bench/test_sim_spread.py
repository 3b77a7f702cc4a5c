"""Target sim over many processes: the same bytes on this machine and on a cluster."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.helpers.cluster import local_cluster
from untorn.bench.sim_sweep import Figures, Point, cells, sweep, vary
from untorn.cli import main
from untorn.sim.costs import CostTable
from untorn.spread.pools import open_pool

POINTS = vary(Point(scanners=1, vmas=50), "cpus", (2, 3))
SMALL = [cell for cell in cells(POINTS, scale=0.05) if cell.reader in ("none", "mmap_lock")]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a cluster of two workers."""
    pytest.importorskip("distributed", reason="needs the extra cluster")
    with local_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster.address


def bench(*arguments: str) -> str:
    small = ("--nsamples", "2", "--duration", "0.01", "--mb", "1", "--json", "-")
    done = CliRunner().invoke(main, ["bench", "--target", "sim", *small, *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def measure_all(address: str | None) -> list[Figures]:
    found = dict(sweep(SMALL, open_pool(address)))
    return [found[number] for number in range(len(SMALL))]


def test_a_benchmark_on_a_cluster_writes_the_same_bytes(address: str, tmp_path: Path) -> None:
    table = CostTable.load()
    costs = tmp_path / "costs.json"
    replace(table, costs=replace(table.costs, mmap=100_000)).save(costs)
    here = bench("--costs", str(costs))

    assert json.loads(here)["samples"][0]["max_ms"] > 0.1
    assert bench("--costs", str(costs), "--cluster", address) == here


def test_a_sweep_on_a_cluster_has_the_same_figures(address: str) -> None:
    assert measure_all(address) == measure_all(None)
