"""Several readers, several writers, and other events between a reader and its VMA."""

from untorn.check.scenarios.scenario import Scenario
from untorn.check.scenarios.waits import task_at
from untorn.check.stage.pages import NONE, RW, R, addr
from untorn.check.stage.stage import Stage
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mm_types import VM_REFCNT_LIMIT


def two_queries(stage: Stage) -> None:
    """Two queries of one VMA on one file, and another protection of it."""
    process = stage.process
    process.map(0, 1)
    first = stage.read("query-one")
    stage.read("query-one").file = first.file
    stage.write(lambda: process.protect(0, 1, R))


def two_readers(stage: Stage) -> None:
    """Two passes, each on its own file."""
    stage.process.map(0, 1)
    stage.process.map(1, 2, R)
    stage.read()
    stage.read()


def two_readers_and_a_writer(stage: Stage) -> None:
    """Two passes and a writer; each pass may make the writer wait, or wait for it."""
    stage.process.map(0, 1)
    stage.read()
    stage.read()
    stage.write(lambda: stage.process.protect(0, 1, R))


def one_file(stage: Stage) -> None:
    """Two tasks read one file: its lock orders them."""
    stage.process.map(0, 1)
    first = stage.read()
    second = stage.read()
    second.file, second.looks = first.file, first.looks  # they make one pass together
    second.judged = False


def two_writers(stage: Stage) -> None:
    """Two writers of one VMA, and a query."""
    process = stage.process
    process.map(0, 1)
    stage.read("query-one")
    stage.write(lambda: process.protect(0, 1, R), name="writer 1")
    stage.write(lambda: process.protect(0, 1, NONE), name="writer 2")


def writers_alone(stage: Stage) -> None:
    """Two writers of one range."""
    process = stage.process
    process.map(0, 2)
    stage.write(lambda: process.unmap(0, 1), name="writer 1")
    stage.write(lambda: process.map(0, 2, R), name="writer 2")


def a_writer_that_looks(stage: Stage) -> None:
    """One writer calls mprotect without changing anything, another changes the VMA."""
    process = stage.process
    process.map(0, 1)
    stage.write(lambda: process.protect(0, 1, RW), name="writer 1")
    stage.write(lambda: process.protect(0, 1, R), name="writer 2")


def line_by_line(stage: Stage) -> None:
    """A fill for each line, and a merge of what was shown with what was fetched."""
    process = stage.process
    process.map(0, 1)
    process.map(1, 2, R)
    stage.read(size=stage.line_size())
    stage.write(lambda: process.protect(1, 2, RW))


def exit_between_lines(stage: Stage) -> None:
    """The last user goes between two fills, or during one."""
    process = stage.process
    process.map(0, 1)
    process.map(1, 2, R)
    stage.read(size=stage.line_size())
    stage.write(process.exit)


def exit_while_read(stage: Stage) -> None:
    """The last user of the mm goes while its map is read."""
    stage.process.map(0, 1)
    stage.read()
    stage.write(stage.process.exit)


def reaped_while_read(stage: Stage) -> None:
    """The process exits and is reaped during a query."""
    stage.process.map(0, 1)
    stage.read("query-one")
    stage.write(stage.process.exit, stage.process.reap)


def at_the_limit(stage: Stage) -> None:
    """Too many readers hold the VMA: the rest of the fill is made under mmap_lock."""
    process = stage.process
    process.map(0, 1)
    process.map(1, 2, R)
    stage.pin(process.vma(0), VM_REFCNT_LIMIT)
    stage.read().keeps_mmap_lock = True
    stage.write(lambda: process.protect(1, 2, NONE))


def killed_in_the_fallback(stage: Stage) -> None:
    """A reader is killed wherever it waits for a writer."""
    process = stage.process
    process.map(0, 1)
    reader = stage.read("query-one")
    reader.killable = True

    stage.write(lambda: process.protect(0, 1, R))
    stage.task("killer", lambda: task_at(reader.task).kill())


def killed_in_a_pass(stage: Stage) -> None:
    """A reader is killed wherever it waits for a writer in a pass over maps."""
    process = stage.process
    process.map(0, 1)
    process.map(1, 2, R)
    reader = stage.read()
    reader.killable = True
    stage.write(lambda: process.protect(1, 2, NONE))
    stage.task("killer", lambda: task_at(reader.task).kill())


def reaped_between_lines(stage: Stage) -> None:
    """The process exits and is reaped between two fills, or during one."""
    process = stage.process
    process.map(0, 1)
    process.map(1, 2, R)
    stage.read(size=stage.line_size())
    stage.write(process.exit, process.reap)


def refused(stage: Stage) -> None:
    """A call over two VMAs fails at the second, which is sealed: the first is put back."""
    process = stage.process
    process.map(0, 1)
    process.map(1, 2, R)
    process.mseal(addr(1), PAGE_SIZE)
    stage.read("query-one")
    stage.write(lambda: process.try_map(0, 2))


def fault_while_forked(stage: Stage) -> None:
    """A page is written to for the first time while a child is made."""
    stage.process.map(0, 1)
    stage.access(0, write=True)
    stage.write(lambda: stage.process.fork().exit())


def fork_while_read(stage: Stage) -> None:
    """A child is made of the process: its VMAs are write-locked in turn."""
    stage.process.map(0, 1)
    stage.process.map(1, 2, R)
    stage.read("query")
    stage.write(lambda: stage.process.fork().exit())


_ALL = {
    "two-queries": two_queries,
    "two-readers": two_readers,
    "two-readers-and-a-writer": two_readers_and_a_writer,
    "one-file": one_file,
    "two-writers": two_writers,
    "writers-alone": writers_alone,
    "writer-that-looks": a_writer_that_looks,
    "line-by-line": line_by_line,
    "exit": exit_while_read,
    "exit-between-lines": exit_between_lines,
    "reaped": reaped_while_read,
    "at-the-limit": at_the_limit,
    "killed": killed_in_the_fallback,
    "killed-pass": killed_in_a_pass,
    "reaped-between-lines": reaped_between_lines,
    "refused": refused,
    "fault-fork": fault_while_forked,
    "fork": fork_while_read,
}
SCENARIOS = [
    Scenario(f"meet/{name}", str(build.__doc__).rstrip("."), build) for name, build in _ALL.items()
]
