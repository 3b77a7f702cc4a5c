"""Systematically generated writers: up to three system calls over up to three small VMAs.

Every sequence of calls from an alphabet is a program, unless one of its calls would change nothing.
One call runs against a pass over maps of several VMAs. Two and three, which may also recycle the
VMA into its own or another mm and end the process, run against one query of one page, which is one
lookup of such a pass. The larger ones, and all passes over maps against two and three calls, are
`deep`, explored only if requested by name.
"""

from collections.abc import Callable, Iterator, Sequence

from untorn.check.scenarios.scenario import Build, Layout, Scenario, lay_out
from untorn.check.stage.pages import NONE, RW, Pages, R
from untorn.check.stage.stage import Stage

Call = Callable[[Pages, Pages], None]
"""A system call of the process that is read, or of another one."""
Calls = dict[str, Call]
Maps = tuple[tuple[tuple[int, int, int, int], ...], ...]
"""Of both processes: start, end, flags and offset of each VMA."""

LAYOUTS: dict[str, Layout] = {
    "A": ((0, 3, RW),),
    "AB": ((0, 1, R), (1, 4, RW)),
    "A.B": ((0, 1, RW), (2, 3, RW)),
    "ABC": ((0, 1, R), (1, 2, RW), (2, 3, R)),
}
CALLS: Calls = {
    "munmap-0": lambda p, _: p.unmap(0, 1),
    "munmap-1": lambda p, _: p.unmap(1, 2),
    "munmap-1-4": lambda p, _: p.unmap(1, 4),
    "mprotect-0": lambda p, _: p.protect(0, 1, R),
    "mprotect-1": lambda p, _: p.protect(1, 2, NONE),
    "mprotect-2": lambda p, _: p.protect(2, 4, R),
    "mmap-0": lambda p, _: p.map(0, 1, R),
    "mmap-1": lambda p, _: p.map(1, 2, R),
    "mmap-0-3": lambda p, _: p.map(0, 3, R),
    "shrink": lambda p, _: p.resize(1, 3, 2),
    "grow": lambda p, _: p.resize(0, 1, 2),
    "move-0-4": lambda p, _: p.move(0, 1, 4),
    "move-1-0": lambda p, _: p.move(1, 2, 0),
}
SMALL_LAYOUT: Layout = ((0, 1, RW),)
SMALL_CALLS: Calls = {
    "munmap": lambda p, _: p.unmap(0, 1),
    "mprotect": lambda p, _: p.protect(0, 1, R),
    "mmap": lambda p, _: p.map(0, 1, RW),
    "mmap-next": lambda p, _: p.map(1, 2, RW),
    "other-mmap": lambda _, other: other.map(0, 1, R),
    "other-munmap": lambda _, other: other.unmap(0, 1),
    "exit": lambda p, _: p.exit(),
}
_ALONE = {"munmap", "mprotect", "mmap", "mmap-next"}
QUICK = {
    ("mprotect", "munmap", "mmap"),
    ("mprotect", "munmap", "mmap-next"),
    ("mprotect", "mmap-next", "munmap"),
    ("mprotect", "mmap-next", "mmap"),
}
"""Programs of three calls of the process alone that take few seconds."""


def programs(layout: Layout, calls: Calls, length: int) -> Iterator[tuple[str, ...]]:
    """Yield the sequences of calls that each change a map; nothing comes after an exit."""
    ends: dict[tuple[Maps, str], Maps] = {}

    def longer(names: tuple[str, ...], maps: Maps) -> Iterator[tuple[str, ...]]:
        if len(names) == length:
            yield names
        elif names[-1:] != ("exit",):
            for name in calls:
                if (maps, name) not in ends:
                    made = [calls[each] for each in (*names, name)]
                    ends[maps, name] = _after(layout, made, maps)
                if ends[maps, name] != maps:
                    yield from longer((*names, name), ends[maps, name])

    yield from longer((), _after(layout, [], ()))


def _after(layout: Layout, calls: Sequence[Call], refused: Maps) -> Maps:
    """Return the maps after some calls, or that the last one was refused."""
    stage = Stage()
    process, other = stage.process, stage.other()
    lay_out(stage, layout)
    try:
        for call in calls:
            call(process, other)
    except OSError:
        return refused
    return _map_of(process), _map_of(other)


def _map_of(process: Pages) -> tuple[tuple[int, int, int, int], ...]:
    entries = process.mm.mm_mt
    return tuple((start, end, vma.vm_flags, vma.vm_pgoff) for start, end, vma in entries)


def _build(
    layout: Layout, calls: Calls, names: tuple[str, ...], reader: str, locking: str = "vma_lock"
) -> Build:
    def build(stage: Stage) -> None:
        process, other = stage.process, stage.other()
        lay_out(stage, layout)
        stage.read(reader, locking)
        stage.write(*(lambda call=calls[name]: call(process, other) for name in names))

    return build


def _over_layouts(length: int) -> Iterator[Scenario]:
    for shape, layout in LAYOUTS.items():
        for names in programs(layout, CALLS, length):
            about = f"maps {shape} ('.' a hole) while {', then '.join(names)}"
            build = _build(layout, CALLS, names, "maps")
            group = shape if length == 1 else f"deep/{length}/{shape}"
            yield Scenario("/".join((group, "+".join(names))), about, build, deep=length > 1)


def _over_one_page(length: int) -> Iterator[Scenario]:
    for names in programs(SMALL_LAYOUT, SMALL_CALLS, length):
        name, about = "+".join(names), f"while {', then '.join(names)} of a one-page VMA"
        mixed = not _ALONE.issuperset(names)

        def reading(*reader: str, names: tuple[str, ...] = names) -> Build:
            return _build(SMALL_LAYOUT, SMALL_CALLS, names, *reader)

        yield Scenario(
            f"query-one/{name}",
            f"one query {about}",
            reading("query-one"),
            deep=not (length == 2 or mixed or names in QUICK),
        )
        yield Scenario(f"deep/{length}/page/{name}", f"maps {about}", reading("maps"), deep=True)
        if length == 2:
            yield Scenario(
                f"rcu/{name}",
                f"maps {about}",
                reading("maps", "rcu"),
                speculated=True,
                deep=not mixed,
            )


SCENARIOS = [*_over_layouts(1), *_over_one_page(2), *_over_one_page(3)]
"""The scenarios that are found at once."""


def deep() -> Iterator[Scenario]:
    """Yield the rest. Finding the programs means running each of them."""
    yield from _over_layouts(2)
    yield from _over_layouts(3)
