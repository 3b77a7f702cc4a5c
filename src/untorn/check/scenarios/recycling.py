"""A VMA that is unmapped and recycled after a reader found it, and before it is locked."""

from functools import partial

from untorn.check.scenarios.scenario import Scenario
from untorn.check.stage.pages import R
from untorn.check.stage.stage import Stage


def recycled_here(stage: Stage) -> None:
    """The object of an unmapped VMA is reused at a higher address of the same mm."""
    process = stage.process
    process.map(0, 1)
    stage.read("query-one")
    stage.write(lambda: process.unmap(0, 1), lambda: process.map(3, 4))


def recycled_behind(stage: Stage) -> None:
    """The object of an unmapped VMA is reused below the reader."""
    process = stage.process
    process.map(0, 1)
    stage.read("query-one")
    stage.write(lambda: process.unmap(0, 1), lambda: process.map(-3, -2))


def recycled_there(stage: Stage) -> None:
    """The object of an unmapped VMA is reused by another mm, which also unmaps it."""
    process, other = stage.process, stage.other()
    process.map(0, 1)
    stage.read("query-one")
    stage.write(lambda: process.unmap(0, 1), lambda: other.map(0, 2, R), lambda: other.unmap(0, 2))


def recycled_and_gone(stage: Stage) -> None:
    """The object of an unmapped VMA goes to another mm, which exits."""
    process, other = stage.process, stage.other()
    process.map(0, 1)
    stage.read("query-one")
    stage.write(lambda: process.unmap(0, 1), lambda: other.map(0, 1), other.exit)


def recycled_same_sequence(stage: Stage) -> None:
    """Like recycled-and-gone, with an mm that has the same sequence as the reader's."""
    recycled_and_gone(stage)
    process, other = stage.process, stage.others[0]
    other.mm.mm_lock_seq = process.mm.mm_lock_seq
    stage.write(lambda: process.map(5, 6), name="writer 2")


def recycled_just_behind(stage: Stage) -> None:
    """The object of an unmapped VMA is reused right below the reader."""
    process = stage.process
    process.map(0, 1)
    stage.read("query-one")
    stage.write(lambda: process.unmap(0, 1), lambda: process.map(-1, 0))


def three_unmapped(stage: Stage) -> None:
    """One VMA after the other is unmapped under the reader, until it gives up looking for one."""
    process = stage.process
    for page in 0, 2, 4:
        process.map(page, page + 1)
    stage.read("query-one")
    stage.write(*(partial(process.unmap, page, page + 1) for page in (0, 2, 4)))


_ALL = {
    "here": recycled_here,
    "behind": recycled_behind,
    "just-behind": recycled_just_behind,
    "there": recycled_there,
    "and-gone": recycled_and_gone,
    "same-sequence": recycled_same_sequence,
    "three-unmapped": three_unmapped,
}
_DEEP = {"three-unmapped", "same-sequence"}
SCENARIOS = [
    Scenario(f"recycled/{name}", str(build.__doc__).rstrip("."), build, deep=name in _DEEP)
    for name, build in _ALL.items()
]
