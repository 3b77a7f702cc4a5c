"""Scenarios: a few small VMAs, tasks that read and write, and what is known of the outcome.

cases        the ten ways in which writers change neighbours, for each reader and strategy
programs     systematically generated writers
meetings     several readers, several writers, recycled objects, exits, counts at their limit
recycling    what comes between a reader and the VMA it found
waits        which task must not wait for which
page_faults  page faults, advice and page walks
guards       guards that are set under the lock of their VMA
pagemaps     pagemap, slice by slice
scripts      single interleavings with their outcome, and the false gap of Linux

From the top down: scripts, pagemaps, guards, page_faults, meetings, waits, recycling, programs,
cases, script_stages, scenario.
"""

from untorn.check.scenarios import (
    cases,
    guards,
    meetings,
    page_faults,
    pagemaps,
    programs,
    recycling,
    scripts,
    waits,
)
from untorn.check.scenarios.scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for group in (
        *(scripts, cases, page_faults, guards, pagemaps, waits, meetings, recycling, programs),
    )
    for scenario in group.SCENARIOS
}
"""By name, those explored in a moment first."""
