from dataclasses import asdict, fields
from pathlib import Path

import pytest

from untorn.sim.costs import Costs, CostTable


def test_the_table_of_the_package_says_what_everything_costs_and_where_it_was_measured() -> None:
    table = CostTable.load()

    assert all(cost > 0 for cost in asdict(table.costs).values())
    assert table.kernel
    assert table.cpu
    assert set(table.assumed) <= {each.name for each in fields(Costs)}


def test_a_table_is_read_as_it_was_saved(tmp_path: Path) -> None:
    table = CostTable.load()

    table.save(tmp_path / "costs.json")

    assert CostTable.load(tmp_path / "costs.json") == table


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ('"maps_line"', '"maps_lime"', "maps_lime, maps_line"),
        ('"page_none": ', '"page_none": -', "cost page_none is -"),
        ('"kernel"', '"colonel"', "kernel"),
        ("{", "", "no table"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(
    tmp_path: Path, before: str, after: str, reason: str
) -> None:
    path = tmp_path / "costs.json"
    CostTable.load().save(path)
    path.write_text(path.read_text().replace(before, after, 1))

    with pytest.raises(ValueError, match=reason):
        CostTable.load(path)
