"""Scenarios: a few small VMAs, tasks that read and write, and what is known about the outcome.

cases        the ten ways in which writers change neighbours, for each reader and strategy
programs     systematically generated writers
meetings     several readers, several writers, recycled objects, exits, counts at their limit
recycling    a VMA that is unmapped and recycled after a reader found it
waits        which task must not wait for which
page_faults  page faults, advice and page walks
guards       guards that are set under the lock of their VMA
pagemaps     pagemap, slice by slice
values       the visible effect of a race on a protected field
scripts      single interleavings with their outcome, and the false gap of Linux

From the top down: values, scripts, pagemaps, guards, page_faults, meetings, waits, recycling,
programs, cases, script_stages, scenario.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from untorn.check.scenarios import (
    cases,
    guards,
    meetings,
    page_faults,
    pagemaps,
    programs,
    recycling,
    scripts,
    values,
    waits,
)
from untorn.check.scenarios.scenario import Scenario


class Scenarios(Mapping[str, Scenario]):
    """All scenarios by name, those explored in a moment first.

    It takes seconds to find the larger programs, so that is done only when one of them is
    requested.
    """

    def __init__(self, groups: Iterable[Iterable[Scenario]]) -> None:
        self._listed = {scenario.name: scenario for group in groups for scenario in group}

    @cached_property
    def _all(self) -> dict[str, Scenario]:
        return self._listed | {scenario.name: scenario for scenario in programs.deep()}

    def __getitem__(self, name: str) -> Scenario:
        return self._listed[name] if name in self._listed else self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def default(self) -> list[str]:
        """Return the names of those that are not deep."""
        return [name for name, scenario in self._listed.items() if not scenario.deep]

    def named(self, name: str) -> list[str]:
        """Return the names of a group (the part before the slash), or the name of one scenario."""
        among = self._all if name.split("/")[0] == "deep" else self._listed
        return [each for each in among if f"{each}/".startswith(f"{name}/")]

    def groups(self) -> list[str]:
        """Return the groups, sorted."""
        return sorted({name.partition("/")[0] for name in self._listed})


_FIRST = scripts, cases, page_faults, guards, pagemaps, waits
_MODULES = *_FIRST, meetings, recycling, programs, values
SCENARIOS = Scenarios(module.SCENARIOS for module in _MODULES)
