"""The pictures that there are, by name: known before matplotlib is there to draw them."""

from enum import StrEnum


class PlotKind(StrEnum):
    """What a picture shows of a benchmark."""

    SHARES = "shares"
    """The share of calls that take longer, by how long: a panel a target, a line a reader."""
    RUNS = "runs"
    """Means and maxima of the runs, sorted each by itself, as the original benchmark does."""
    TARGETS = "targets"
    """What each reader costs, from one target to the next."""
