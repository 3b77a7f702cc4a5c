"""The picture of a benchmark, in a file."""

from collections.abc import Sequence
from pathlib import Path

from untorn.bench.environment import Environment
from untorn.bench.plots.across import across
from untorn.bench.plots.kind import RUNS, SHARES, TARGETS
from untorn.bench.plots.runs import runs
from untorn.bench.plots.shares import shares
from untorn.bench.run import BenchResult
from untorn.bench.target import BenchOptions

FEW = 4
"""Up to this many targets get one panel each."""
_PICTURES = {SHARES: shares, RUNS: runs, TARGETS: across}


def draw(
    result: BenchResult,
    options: BenchOptions,
    environment: Environment,
    path: Path,
    *,
    kind: str | None = None,
    named: Sequence[str] = (),
) -> None:
    """Write the picture to a file, as SVG or PNG by its extension. Runs that hung are left out.

    Args:
        result: What was measured; one sample at least.
        options: How.
        environment: Where.
        path: The file.
        kind: One of PLOT_KINDS; if None, SHARES for up to FEW targets, TARGETS for more.
        named: Labels of readers and variants that are chosen before any other.

    Raises:
        OSError: The file cannot be written.
    """
    many = len({each.target for each in result.samples}) > FEW
    kind = kind or (TARGETS if many else SHARES)
    _PICTURES[kind](result, options, environment, named).savefig(path, dpi=150)
