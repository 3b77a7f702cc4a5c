"""Target `live`: the running kernel is the oracle."""

import os
from dataclasses import dataclass

from untorn.conform.outcome import ConformRun
from untorn.conform.pair import Pair
from untorn.conform.run import Report, conform, conform_script
from untorn.conform.running_kernel import check_machine
from untorn.conform.script_text import parse_script
from untorn.conform.target import ConformOptions
from untorn.conform.traced.abi import ABIS


@dataclass(frozen=True, slots=True)
class LiveConformTarget:
    """The running kernel; see ConformTarget."""

    name: str = "live"

    @property
    def release(self) -> str:
        """See ConformTarget."""
        return os.uname().release

    def conform(self, options: ConformOptions, report: Report) -> ConformRun:
        """Make one seed after the other, or the script: see ConformTarget."""
        check_machine()
        with Pair(ABIS[options.abi]) as pair:
            if options.script_name:
                operations = parse_script(options.script)
                return conform_script(pair, operations, options.script_name)
            return _all_seeds(pair, options, report)


def _all_seeds(pair: Pair, options: ConformOptions, report: Report) -> ConformRun:
    made = ConformRun()

    def so_far(run: ConformRun) -> None:
        report(made + run)

    for seed in options.seeds:
        made += conform(pair, options.operations, seed, so_far)
        if made.interrupted:
            break
    return made
