"""pagemap against writers: each slice must be of one moment, whatever comes between two.

The pages lie on both sides of a border of page tables, where pagemap lets go of mmap_lock. They are
read by one read() over the border, or by one for each side of it.
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
"""Of what is read; the last page is free at first."""
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
"""What becomes of the pages."""


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
    """Of pages that are common to parent and child the parent writes one."""
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
