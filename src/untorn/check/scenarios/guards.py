"""Guards, which since Linux 6.19 are set under the lock of their VMA alone, while others use it.

One page of the VMA becomes a guard; no task accesses it.
"""

from collections.abc import Callable

from untorn.check.scenarios.scenario import Build, Scenario
from untorn.check.stage.pages import Pages, R
from untorn.check.stage.stage import Stage
from untorn.releases.release import Release

RELEASE = Release(7, 3)
MEANWHILE: dict[str, tuple[str, Callable[[Pages], object]]] = {
    "guard": ("another is set in it", lambda p: p.guard(2, 3)),
    "drop": ("another page of it is dropped", lambda p: p.drop(1, 2)),
    "split": ("it is split", lambda p: p.protect(1, 2, R)),
    "merge": ("its neighbour joins it", lambda p: p.map(3, 4)),
    "unmap": ("it goes", lambda p: p.unmap(0, 3)),
    "fork": ("the process forks", lambda p: p.fork().exit()),
}


def _in_written_memory(write: Callable[[Pages], object]) -> Build:
    def build(stage: Stage) -> None:
        process = _written(stage)
        stage.write(lambda: process.guard(0, 1), name="guard")
        stage.write(lambda: write(process))

    return build


def _written(stage: Stage) -> Pages:
    """Return the process, with three pages that own an anon_vma."""
    stage.of_release(RELEASE)
    process = stage.process
    process.map(0, 3)
    process.access(1, write=True)
    return process


def during_a_fault(stage: Stage) -> None:
    """Another page of the VMA is written to."""
    process = _written(stage)
    stage.access(2, write=True)
    stage.write(lambda: process.guard(0, 1), name="guard")


def during_a_walk(stage: Stage) -> None:
    """A reader counts its pages."""
    process = _written(stage)
    stage.read("smaps")
    stage.write(lambda: process.guard(0, 1), name="guard")


def first_anon_vma(stage: Stage) -> None:
    """The VMA wants an anon_vma, which may be that of a neighbour that goes just then."""
    stage.of_release(RELEASE)
    process = stage.process
    process.map(0, 1)
    process.map(1, 2, R)
    stage.write(lambda: process.guard(0, 1), name="guard")
    stage.write(lambda: process.unmap(1, 2))


SCENARIOS = [
    *(
        Scenario(f"guards/{name}", f"a guard is set in a VMA while {about}", build)
        for name, (about, write) in MEANWHILE.items()
        for build in (_in_written_memory(write),)
    ),
    Scenario("guards/fault", "a guard is set while another page is written to", during_a_fault),
    Scenario("guards/smaps", "a guard is set while smaps counts the pages", during_a_walk),
    Scenario("guards/first", "a guard is set where nothing was written yet", first_anon_vma),
]
