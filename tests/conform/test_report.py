"""How a mismatch is reported."""

from untorn.conform.answer import Answer
from untorn.conform.operation import Operation
from untorn.conform.pair import Mismatch
from untorn.conform.report import mismatch_report


def test_a_count_that_only_one_side_has_is_told() -> None:
    engine, kernel = Answer(counts={"locked_vm": 1, "free": 2}), Answer(counts={"locked_vm": 3})
    assert list(mismatch_report(Mismatch(0, Operation("brk", (0,)), engine, kernel))) == [
        "# engine: 0",
        "# kernel: 0",
        "# locked_vm: engine 1 pages, kernel 3",
        "# free: engine 2 pages, kernel None",
    ]
