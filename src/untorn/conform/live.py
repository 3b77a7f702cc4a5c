"""Target `live`: the running kernel is the oracle."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from untorn.conform.case_text import parse_cases
from untorn.conform.outcome import ConformRun
from untorn.conform.pair import Pair
from untorn.conform.run import Report, conform, conform_case
from untorn.conform.running_kernel import check_machine
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
            made = _all_cases(pair, options) if options.files else _all_seeds(pair, options)
            return _sum(made, report)


Making = Callable[[Report], ConformRun]


def _all_seeds(pair: Pair, options: ConformOptions) -> Iterator[Making]:
    for seed in options.seeds:
        yield partial(conform, pair, options.operations, seed)


def _all_cases(pair: Pair, options: ConformOptions) -> Iterator[Making]:
    for name, text in options.files.items():
        for case in parse_cases(text):
            yield partial(conform_case, pair, case, name)


def _sum(making: Iterable[Making], report: Report) -> ConformRun:
    """Make one after the other, unless it is interrupted."""
    made = ConformRun()

    def so_far(run: ConformRun) -> None:
        report(made + run)

    for make in making:
        made += make(so_far)
        if made.interrupted:
            break
    return made
