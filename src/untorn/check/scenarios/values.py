"""Scenarios in which fields of VMAs are steps, although locks protect them.

Where the order of a lock is taken away, two accesses to such a field race, which is an error by
itself. Here it is none, and under weak memory a load may see an old value: what is looked for is
what that does to what is shown.
"""

from dataclasses import replace

from untorn.check.scenarios import cases, meetings, programs, recycling
from untorn.check.scenarios.scenario import Scenario

_NAMES = (
    *("maps/split-above", "maps/split-below", "mmap_lock/split-above", "mmap_lock/merge-left"),
    *("query-one/mprotect+mmap-next", "query-one/munmap+other-mmap", "query-one/munmap+mmap"),
    *("recycled/there", "recycled/here", "meet/two-writers", "meet/writers-alone"),
)


def _of(scenario: Scenario) -> Scenario:
    return replace(scenario, name=f"values/{scenario.name}", speculated=True, deep=True)


SCENARIOS = [
    _of(scenario)
    for group in (cases, meetings, recycling, programs)
    for scenario in group.SCENARIOS
    if scenario.name in _NAMES
]
