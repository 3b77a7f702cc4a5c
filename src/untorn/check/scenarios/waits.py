"""Which task must not wait for which: some continue only when a reader is done.

Schedules end, so none of them shows a wait that is merely too long. Here such a wait never ends: a
task holds what the reader must not need until the reader is done.
"""

from collections.abc import Callable

from untorn.check.runtime import running
from untorn.check.scenarios.scenario import Scenario
from untorn.check.stage.pages import R
from untorn.check.stage.readers import Reader
from untorn.check.stage.stage import Stage
from untorn.locking.sync import Task
from untorn.mm.mmap_lock import (
    mmap_read_lock,
    mmap_read_unlock,
    mmap_write_downgrade,
    mmap_write_lock,
    mmap_write_unlock,
)
from untorn.mm.vma_lock import vma_start_write


def task_at(number: int) -> Task:
    """Return a task of the run."""
    assert running.run is not None
    task: Task = running.run.tasks[number]
    return task


def _until_read(
    stage: Stage, reader: Reader, name: str, begin: Callable[[], object], end: Callable[[], object]
) -> None:
    """Add a task that begins something, and ends it when the reader is done."""
    number = len(stage.jobs)

    def read() -> None:
        reader.run()
        task_at(number).wake_up()

    def keep() -> None:
        begin()
        task_at(number).wait_until(lambda: bool(reader.looks))
        end()

    stage.jobs[reader.task] = read
    stage.task(name, keep)


def _rename(stage: Stage) -> None:
    """Take mmap_lock for write and change the name of the first VMA."""
    mmap_write_lock(stage.process.mm)
    vma = stage.process.vma(0)
    vma_start_write(vma)
    vma.anon_name = b"new"


def killed_by_a_writer(stage: Stage) -> None:
    """A reader that waits for a writer is killed."""
    mm = stage.process.mm
    stage.process.map(0, 1)
    reader = stage.read("query-one")
    reader.killable = True

    def begin() -> None:
        _rename(stage)
        task_at(reader.task).kill()

    _until_read(stage, reader, "writer", begin, lambda: mmap_write_unlock(mm))


def behind_a_downgrade(stage: Stage) -> None:
    """A writer that has changed a VMA keeps mmap_lock for reading."""
    mm = stage.process.mm
    stage.process.map(0, 1)

    def begin() -> None:
        _rename(stage)
        mmap_write_downgrade(mm)

    _until_read(stage, stage.read("query-one"), "writer", begin, lambda: mmap_read_unlock(mm))


def during_munmap(stage: Stage) -> None:
    """A call that unmaps has to wait before it can free pages."""
    process = stage.process
    process.map(0, 1)
    process.access(0, write=True)
    lock = process.mm.page_table.lock
    _until_read(stage, stage.read("query-one"), "page table", lock.acquire, lock.release)
    stage.write(lambda: process.unmap(0, 1))


def behind_a_killed_writer(stage: Stage) -> None:
    """A writer that waits for mmap_lock, with a reader queued after it, is killed."""
    process = stage.process
    process.map(0, 1)
    reader = stage.read("maps", "mmap_lock")

    def begin() -> None:
        mmap_read_lock(process.mm)
        task_at(2).kill()

    _until_read(stage, reader, "holder", begin, lambda: mmap_read_unlock(process.mm))
    stage.task("writer", lambda: process.try_protect(0, 1, R))


_ALL = {
    "killed-by-a-writer": killed_by_a_writer,
    "behind-a-downgrade": behind_a_downgrade,
    "during-munmap": during_munmap,
    "behind-a-killed-writer": behind_a_killed_writer,
}
SCENARIOS = [
    Scenario(f"wait/{name}", str(build.__doc__).rstrip("."), build) for name, build in _ALL.items()
]
