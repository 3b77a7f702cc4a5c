"""Sweeps of target `sim`: their cells and figures."""

import pytest

from untorn.bench.sim_sweep import READERS, Cell, Figures, Point, cells, sweep, vary
from untorn.spread.pools import open_pool

POINTS = vary(Point(scanners=1, vmas=50), "cpus", (2, 3))
SMALL = [cell for cell in cells(POINTS, scale=0.05) if cell.reader in ("none", "mmap_lock")]


def measure_all(address: str | None) -> list[Figures]:
    found = dict(sweep(SMALL, open_pool(address)))
    return [found[number] for number in range(len(SMALL))]


@pytest.fixture(scope="module")
def here() -> list[Figures]:
    return measure_all(None)


def test_a_point_that_is_met_twice_is_measured_once() -> None:
    assert len(cells([Point(), *vary(Point(), "cpus", (2, 4))])) == 2 * len(READERS)


def test_a_reader_that_holds_the_lock_stalls_the_mapper(here: list[Figures]) -> None:
    mean = {(each.cell.point.cpus, each.cell.reader): each.mean_ns for each in here}
    assert mean[2, "mmap_lock"] > 2 * mean[2, "none"]


def test_figures_as_json_say_of_which_cell_they_are() -> None:
    cell = Cell(Point(scanners=3), "rcu", 0.1)
    assert Figures(cell, 10, 1.5, 7, 8).as_json() == {
        "scanners": 3,
        "cpus": 2,
        "vmas": 1000,
        "nice": 15,
        "reader": "rcu",
        "virtual_s": 0.1,
        "calls": 10,
        "mean_ns": 1.5,
        "p999_ns": 7,
        "max_ns": 8,
    }
