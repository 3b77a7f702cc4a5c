import os
from dataclasses import fields

import pytest

from tests.helpers.processes import children_of
from untorn.bench.calibrate.measured import describe_here
from untorn.errors import OutOfReachError
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.sim.costs import Costs


def test_all_costs_of_this_kernel_are_measured_but_that_of_a_vma_lock() -> None:
    with LiveMapsFile(os.getpid()) as file:
        refused = file.find_query_refusal()

    try:
        described = describe_here(15, rounds=1)
    except OutOfReachError as error:
        pytest.skip(str(error))

    wanted = {each.name for each in fields(Costs)} - {"vma_lock"}
    if refused:
        wanted -= {"query", "user_query"}
    assert set(described["rounds"]) == wanted
    assert {len(found) for found in described["rounds"].values()} == {1}
    assert described["kernel"] == os.uname().release
    assert described["cpu"]
    assert not children_of(os.getpid())
