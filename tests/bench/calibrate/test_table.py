from collections.abc import Sequence
from typing import Any

from untorn.bench.calibrate.table import Calibration
from untorn.sim.costs import CostTable


def described(**rounds: Sequence[float]) -> dict[str, Any]:
    return {"rounds": rounds, "kernel": "6.18.1", "cpu": "some CPU"}


def test_of_each_cost_the_median_of_its_rounds_counts() -> None:
    table = Calibration.of(described(maps_line=[210.04, 900.0, 190.0])).table

    assert table.costs.maps_line == 210.0


def test_what_was_not_measured_or_is_lost_in_noise_is_assumed_as_the_package_has_it() -> None:
    calibration = Calibration.of(described(maps_line=[210.0], page_none=[-4.0, -1.0, 30.0]))

    table, default = calibration.table, CostTable.load()
    assert "maps_line" not in table.assumed
    assert {"page_none", "vma_lock"} <= set(table.assumed)
    assert table.costs.page_none == default.costs.page_none
    assert table.costs.vma_lock == default.costs.vma_lock


def test_a_table_says_where_it_was_measured() -> None:
    table = Calibration.of(described(syscall=[100.0]), "QEMU").table

    assert (table.kernel, table.cpu) == ("6.18.1", "some CPU, QEMU")
