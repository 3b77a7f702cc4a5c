"""Scenarios in which fields of VMAs are steps, although locks protect them.

If the order of a lock is removed, two accesses to such a field race, which is an error by itself.
Here that is no error, and under weak memory a load may see an old value. So these scenarios show
the visible effect.
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
