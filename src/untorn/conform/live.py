"""Target `live`: the running kernel is the oracle."""

import os
from dataclasses import dataclass

from untorn.conform.outcome import ConformRun, Report
from untorn.conform.pair import Pair
from untorn.conform.run import conform_all
from untorn.conform.running_kernel import check_machine
from untorn.conform.target import ConformOptions
from untorn.conform.traced.abi import ABIS


@dataclass(frozen=True, slots=True)
class LiveConformTarget:
    """The running kernel; see ConformTarget."""

    name: str = "live"

    def conform(self, options: ConformOptions, report: Report) -> ConformRun:
        """See ConformTarget."""
        check_machine()
        with Pair.live(ABIS[options.abi]) as pair:
            return conform_all(pair, options, os.uname().release, report)
