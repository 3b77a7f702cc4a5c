"""The stages of the scripts: M = [-1,0) R, X = [0,3) RW and N = [3,4) R, and additions."""

from collections.abc import Callable

from untorn.check.scenarios.scenario import Build
from untorn.check.stage.pages import NONE, RW, Pages, R
from untorn.check.stage.readers import Reader
from untorn.check.stage.stage import Stage
from untorn.mm.mm_types import VM_REFCNT_LIMIT


def mxn(stage: Stage) -> Pages:
    """Map M, X and N."""
    stage.process.map(-1, 0, R)
    stage.process.map(0, 3, RW)
    stage.process.map(3, 4, R)
    return stage.process


def writes(*calls: Callable[[Pages], None], before: Callable[[Pages], None] | None = None) -> Build:
    """Return a function that sets the stage with a pass over maps and a writer."""

    def build(stage: Stage) -> None:
        process = mxn(stage)
        if before is not None:
            before(process)
        stage.read()
        stage.write(*(lambda call=call: call(process) for call in calls))

    return build


def line_by_line(stage: Stage) -> None:
    """Let the reader make a fill for each line."""
    stage.read(size=stage.line_size())


def other_mm(stage: Stage) -> None:
    """X goes to another mm, which unmaps it again."""
    process, other = mxn(stage), stage.other()
    stage.read()
    stage.write(lambda: process.unmap(0, 3), lambda: other.map(0, 3), lambda: other.unmap(0, 3))


def merge_between_fills(stage: Stage) -> None:
    """X is [0,1) and the rest R; it merges after the rest was fetched, and not shown."""
    process = mxn(stage)
    process.protect(1, 3, NONE)
    line_by_line(stage)
    stage.write(lambda: process.protect(1, 3, RW))


def at_the_limit(stage: Stage) -> None:
    """X has as many readers as it may; a writer needs mmap_lock and no VMA."""
    _read_at_the_limit(stage)
    stage.write(lambda: stage.process.map(7, 8))


def _read_at_the_limit(stage: Stage) -> Reader:
    process = mxn(stage)
    stage.pin(process.vma(0), VM_REFCNT_LIMIT)
    reader = stage.read()
    reader.keeps_mmap_lock = True
    return reader


def at_the_limit_line_by_line(stage: Stage) -> None:
    """X has as many readers as it may; a fill for each line, and a writer of N."""
    reader = _read_at_the_limit(stage)
    reader.size = stage.line_size()
    stage.write(lambda: stage.process.protect(3, 4, NONE))


def two_queries(stage: Stage) -> None:
    """Two tasks query one file."""
    mxn(stage)
    first = stage.read("query-one")
    stage.read("query-one").file = first.file


def exit_between_fills(stage: Stage) -> None:
    """The last user goes after the first line."""
    process = mxn(stage)
    line_by_line(stage)
    stage.write(process.exit)
