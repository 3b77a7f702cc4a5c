"""Sweeps of target `sim`: their cells and figures."""

from untorn.bench.sim_sweep import READERS, SEEDS, Cell, Figures, Point, cells, measure, vary


def test_a_point_that_is_met_twice_is_measured_once() -> None:
    assert len(cells([Point(), *vary(Point(), "cpus", (2, 4))])) == 2 * SEEDS * len(READERS)


def test_the_more_scanners_share_a_cpu_the_longer_a_run_lasts() -> None:
    wanted = cells(vary(Point(), "scanners", (1, 2, 256)))
    seconds = {cell.point.scanners: cell.virtual_s for cell in wanted if cell.reader == "rcu"}
    assert seconds[1] < seconds[2] < seconds[256]


def test_a_reader_that_holds_the_lock_stalls_the_mapper() -> None:
    wanted = cells([Point(scanners=1, vmas=50)], scale=0.2)
    mean = {cell.reader: measure(cell).mean_ns for cell in wanted if cell.seed == 0}
    assert mean["mmap_lock"] > 2 * mean["none"]


def test_figures_as_json_say_of_which_cell_they_are() -> None:
    cell = Cell(Point(scanners=3), "rcu", 1, 0.1)
    assert Figures(cell, 10, 1.5, 7, 8).as_json() == {
        "scanners": 3,
        "cpus": 2,
        "vmas": 1000,
        "nice": 15,
        "reader": "rcu",
        "seed": 1,
        "virtual_s": 0.1,
        "calls": 10,
        "mean_ns": 1.5,
        "p999_ns": 7,
        "max_ns": 8,
    }
