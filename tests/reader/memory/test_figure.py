"""Quantities: known ones, ones with bounds, and estimates with their intervals."""

import numpy as np

from untorn.reader.memory.figure import Figure
from untorn.reader.text.columns import Numbers


def column(*numbers: int) -> Numbers:
    return np.array(numbers, np.uint64)


def test_an_estimate_is_never_more_than_there_can_be() -> None:
    most = column(100, 100)
    for figure in Figure.exact([110, 90]), Figure.between([10, 90], [110, 95]):
        estimate = figure.estimated(np.array([25.0, 0.0]), most)
        low, high = estimate.interval()
        assert (low <= high).all()
        assert (high <= most).all()
        assert (estimate.value is None) == (figure.value is None)
        if estimate.value is not None:
            assert estimate.value.tolist() == [100, 90]
            assert (low <= estimate.value).all()
            assert (estimate.value <= high).all()


def test_what_has_no_variance_is_no_estimate() -> None:
    figure = Figure.exact([110, 90]).estimated(np.zeros(2), column(200, 200))
    assert figure.variance is None
    assert figure.value is not None
