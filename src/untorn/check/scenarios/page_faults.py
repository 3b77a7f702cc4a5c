"""Page faults, advice and page walks, which also rely on per-VMA locks, against writers.

A fault looks one VMA up under RCU, and must handle what happens before it locks it: splits, merges,
another protection, a VMA that is unmapped and recycled. An access must be allowed if the mappings
allowed it all the time, and refused if they never did.
"""

from collections.abc import Callable

from untorn.check.scenarios.cases import CASES, Write
from untorn.check.scenarios.programs import SMALL_CALLS, SMALL_LAYOUT, programs
from untorn.check.scenarios.scenario import Build, Layout, Scenario, lay_out
from untorn.check.stage.pages import Pages
from untorn.check.stage.stage import Stage

READ_OR_WRITE = {"read": False, "write": True}
CALLS = {
    name: SMALL_CALLS[name] for name in ("munmap", "mprotect", "mmap", "mmap-next", "other-mmap")
}
PAGE_WRITES: dict[str, Callable[[Pages], object]] = {
    "unmapped": lambda p: p.unmap(0, 1),
    "moved": lambda p: p.move(0, 1, 4),
    "dropped": lambda p: p.drop(0, 1),
    "written": lambda p: p.access(0, write=True),
}


def _against_case(layout: Layout, write: Write, *, writes: bool) -> Build:
    def build(stage: Stage) -> None:
        lay_out(stage, layout)
        stage.access(1, write=writes)
        stage.write(lambda: write(stage.process))

    return build


def _against_program(names: tuple[str, ...], *, writes: bool) -> Build:
    def build(stage: Stage) -> None:
        process, other = stage.process, stage.other()
        lay_out(stage, SMALL_LAYOUT)
        stage.access(0, write=writes)
        stage.write(*(lambda call=CALLS[name]: call(process, other) for name in names))

    return build


def two_faults(stage: Stage) -> None:
    """Two tasks write to one page for the first time."""
    stage.process.map(0, 1)
    stage.access(0, write=True)
    stage.access(0, write=True)


def mapped_anew(stage: Stage) -> None:
    """A page is unmapped, while another task maps it anew and writes to it."""
    process = _resident(stage)
    stage.written.append(0)
    stage.write(lambda: process.unmap(0, 1), name="writer 1")
    stage.write(lambda: process.map(0, 1), lambda: process.access(0, write=True), name="writer 2")


def _resident(stage: Stage) -> Pages:
    stage.process.map(0, 1)
    stage.process.access(0, write=True)
    return stage.process


def _page_walk(write: Callable[[Pages], object]) -> Build:
    def build(stage: Stage) -> None:
        process = _resident(stage)
        stage.read("smaps")
        stage.write(lambda: write(process))

    return build


def _drop(write: Callable[[Pages], object]) -> Build:
    def build(stage: Stage) -> None:
        process = _resident(stage)
        stage.write(lambda: process.drop(0, 1), name="advice")
        stage.write(lambda: write(process))

    return build


SCENARIOS = [
    *(
        Scenario(f"fault/{kind}/{name}", f"a {kind} while {about}", build)
        for kind, writes in READ_OR_WRITE.items()
        for name, (about, layout, write) in CASES.items()
        for build in (_against_case(layout, write, writes=writes),)
    ),
    *(
        Scenario(
            f"fault/{kind}/{'+'.join(names)}", f"a {kind} while {', then '.join(names)}", build
        )
        for kind, writes in READ_OR_WRITE.items()
        for length in (1, 2)
        for names in programs(SMALL_LAYOUT, CALLS, length)
        for build in (_against_program(names, writes=writes),)
    ),
    Scenario("pages/mapped-anew", "a page goes, is mapped anew and written to", mapped_anew),
    Scenario("fault/two", "two first writes to a page", two_faults),
    *(
        Scenario(f"pages/smaps-{name}", f"smaps of a resident page while it is {name}", build)
        for name, write in PAGE_WRITES.items()
        for build in (_page_walk(write),)
    ),
    *(
        Scenario(f"pages/drop-{name}", f"a page is dropped while it is {name}", build)
        for name, write in PAGE_WRITES.items()
        for build in (_drop(write),)
    ),
]
