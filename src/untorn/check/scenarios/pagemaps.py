"""pagemap against writers: each slice must show one moment, whatever happens between two.

The pages are on both sides of a boundary between page tables, where pagemap drops mmap_lock. They
are read by one read() across the boundary, or by one for each side.
"""

from collections.abc import Callable
from functools import partial

from untorn.check.scenarios.scenario import Build, Scenario
from untorn.check.stage.pages import BASE, Pages, R
from untorn.check.stage.stage import Stage
from untorn.maps.page import PAGE_SIZE, PMD_SIZE

Change = Callable[[Pages], object]

BORDER = (PMD_SIZE - BASE) // PAGE_SIZE
"""The first page of the second table."""
FIRST, END = BORDER - 2, BORDER + 2
"""The pages that are read; the last one is unmapped at first."""
READS = {"one-read": ((FIRST, END),), "sliced": ((FIRST, BORDER), (BORDER, END))}
CHANGES: dict[str, tuple[Change, ...]] = {
    "unmapped": (lambda p: p.unmap(BORDER - 1, BORDER + 1),),
    "replaced": (lambda p: p.map(BORDER - 1, BORDER + 1),),
    "replaced+written": (
        lambda p: p.map(BORDER - 1, BORDER + 1),
        lambda p: p.access(BORDER, write=True),
    ),
    "protected": (lambda p: p.protect(BORDER - 1, BORDER + 1, R),),
    "moved-away": (lambda p: p.move(FIRST, FIRST + 1, BORDER + 1),),
    "moved-near": (lambda p: p.move(BORDER, BORDER + 1, BORDER + 1),),
    "moved+back": (
        lambda p: p.move(FIRST, FIRST + 1, BORDER + 1),
        lambda p: p.move(BORDER + 1, BORDER + 2, FIRST),
    ),
    "dropped": (lambda p: p.drop(FIRST, FIRST + 1),),
    "shared": (lambda p: p.fork(),),
    "shared+written": (lambda p: p.fork(), lambda p: p.access(BORDER, write=True)),
    "shared+ended": (lambda p: p.fork().exit(),),
    "left": (lambda p: p.exit(),),
}
"""What happens to the pages."""


def _resident(stage: Stage) -> Pages:
    process = stage.process
    process.map(FIRST, BORDER + 1)
    for page in range(FIRST, BORDER + 1):
        process.access(page, write=True)
    return process


def _against(changes: tuple[Change, ...], reads: tuple[tuple[int, int], ...]) -> Build:
    def build(stage: Stage) -> None:
        process = _resident(stage)
        stage.read_pagemap(*reads)
        stage.write(*(partial(change, process) for change in changes))

    return build


def copied(stage: Stage) -> None:
    """The parent writes one of the pages that it shares with its child."""
    process = _resident(stage)
    stage.others.append(process.fork())
    stage.read_pagemap(*READS["one-read"])
    stage.write(lambda: process.access(BORDER, write=True))


SCENARIOS = [
    *(
        Scenario(f"pagemap/{how}/{name}", f"pagemap of pages that are {name}", build)
        for how, reads in READS.items()
        for name, changes in CHANGES.items()
        for build in (_against(changes, reads),)
    ),
    Scenario("pagemap/copied", str(copied.__doc__).rstrip("."), copied),
]
