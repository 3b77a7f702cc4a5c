"""Systematically generated writers: up to three system calls over up to three small VMAs.

Every sequence of calls from a small alphabet is a program, unless one of its calls would change
nothing. One call runs against a pass over maps; two and three against one query, which is one step
of such a pass: passes of theirs are `deep`, explored when asked for by name.
"""

from collections.abc import Callable, Iterator
from itertools import product

from untorn.check.pages import NONE, RW, Pages, R
from untorn.check.scenarios.cases import Layout, Write, lay_out
from untorn.check.scenarios.scenario import Scenario
from untorn.check.stage import Stage

LAYOUTS: dict[str, Layout] = {
    "A": ((0, 3, RW),),
    "AB": ((0, 1, R), (1, 4, RW)),
    "A.B": ((0, 1, RW), (2, 3, RW)),
}
CALLS: dict[str, Write] = {
    "munmap-0": lambda p: p.unmap(0, 1),
    "munmap-1": lambda p: p.unmap(1, 2),
    "munmap-1-4": lambda p: p.unmap(1, 4),
    "mprotect-0": lambda p: p.protect(0, 1, R),
    "mprotect-1": lambda p: p.protect(1, 2, NONE),
    "mprotect-2": lambda p: p.protect(2, 4, R),
    "mmap-0": lambda p: p.map(0, 1, R),
    "mmap-1": lambda p: p.map(1, 2, R),
    "mmap-0-3": lambda p: p.map(0, 3, R),
    "shrink": lambda p: p.resize(1, 3, 2),
    "grow": lambda p: p.resize(0, 1, 2),
    "move-0-4": lambda p: p.move(0, 1, 4),
    "move-1-0": lambda p: p.move(1, 2, 0),
}
SMALL_LAYOUT: Layout = ((0, 1, RW),)
SMALL_CALLS: dict[str, Write] = {
    "munmap": lambda p: p.unmap(0, 1),
    "mprotect": lambda p: p.protect(0, 1, R),
    "mmap": lambda p: p.map(0, 1, RW),
    "mmap-next": lambda p: p.map(1, 2, RW),
}
QUICK = {
    ("mprotect", "munmap", "mmap"),
    ("mprotect", "munmap", "mmap-next"),
    ("mprotect", "mmap-next", "munmap"),
    ("mprotect", "mmap-next", "mmap"),
}
"""Programs of three calls that take few seconds."""


def programs(layout: Layout, calls: dict[str, Write], length: int) -> Iterator[tuple[str, ...]]:
    """Yield the sequences of calls of which each changes the map."""
    for names in product(calls, repeat=length):
        stage = Stage()
        lay_out(stage, layout)
        if all(_changes(stage.process, calls[name]) for name in names):
            yield names


def _changes(process: Pages, call: Write) -> bool:
    before = _map_of(process)
    try:
        call(process)
    except OSError:
        return False
    return _map_of(process) != before


def _map_of(process: Pages) -> list[tuple[int, int, int]]:
    return [(start, end, vma.vm_flags) for start, end, vma in process.mm.mm_mt]


def _build(
    layout: Layout, reader: str, calls: dict[str, Write], names: tuple[str, ...]
) -> Callable[[Stage], None]:
    def build(stage: Stage) -> None:
        lay_out(stage, layout)
        stage.read(reader)
        stage.write(*(lambda call=calls[name]: call(stage.process) for name in names))

    return build


def _generate() -> Iterator[Scenario]:
    for shape, layout in LAYOUTS.items():
        for names in programs(layout, CALLS, 1):
            about = f"maps {shape} ('.' a hole) while {names[0]}"
            yield Scenario(f"{shape}/{names[0]}", about, _build(layout, "maps", CALLS, names))
    for length in (2, 3):
        for names in programs(SMALL_LAYOUT, SMALL_CALLS, length):
            name, about = "+".join(names), f"{', then '.join(names)} of a one-page VMA"
            yield Scenario(
                f"query-one/{name}",
                f"one query while {about}",
                _build(SMALL_LAYOUT, "query-one", SMALL_CALLS, names),
                deep=length > 2 and names not in QUICK,
            )
            yield Scenario(
                f"deep/{name}",
                f"maps while {about}",
                _build(SMALL_LAYOUT, "maps", SMALL_CALLS, names),
                deep=True,
            )


SCENARIOS = list(_generate())
