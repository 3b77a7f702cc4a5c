"""Turn measured costs into a table of costs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, Self

from untorn.bench.calibrate.measured import describe_here
from untorn.sim.costs import CostTable


@dataclass(frozen=True, slots=True)
class Calibration:
    """Costs that were measured, completed by those of the package.

    Attributes:
        table: All of them.
        rounds: By name, what each round found, in ns.
    """

    table: CostTable
    rounds: Mapping[str, Sequence[float]]

    @classmethod
    def here(cls) -> Self:
        """Measure on the running kernel; raises as describe_here()."""
        return cls.of(describe_here(assumed_vma_lock()))

    @classmethod
    def of(cls, described: Mapping[str, Any], run_by: str = "") -> Self:
        """Make a table from what describe_here() returned; run_by ran that machine, if any.

        A cost is the median of its rounds; one that is lost in noise counts as not measured.
        """
        rounds = described["rounds"]
        found = {name: round(median(costs), 1) for name, costs in rounds.items()}
        measured = {name: cost for name, cost in found.items() if cost > 0}
        costs = replace(CostTable.load().costs, **measured)
        assumed = tuple(name for name in asdict(costs) if name not in measured)
        cpu = ", ".join(filter(None, (described["cpu"], run_by)))
        return cls(CostTable(costs, described["kernel"], cpu, assumed), rounds)


def assumed_vma_lock() -> float:
    """Return the assumed cost of a VMA lock, in ns; nothing shows it by itself."""
    return CostTable.load().costs.vma_lock
