"""Single interleavings with their outcome: what a reader is shown when a writer comes just there.

M = [-1,0) R, X = [0,3) RW and N = [3,4) R are there at the start; traces call them A, B and C. In
the order of the appendix of interleavings that the design was checked against: a01 to a18.
"""

from untorn.check.pages import NONE, RW, R
from untorn.check.scenarios.scenario import Range, Scenario, Until
from untorn.check.scenarios.script_stages import (
    Build,
    at_the_limit,
    exit_between_fills,
    merge_between_fills,
    other_mm,
    two_queries,
    writes,
)
from untorn.mm.mman import PROT_EXEC

READER, WRITER = Until("reader"), Until("writer")
SPLIT = (-1, 0), (0, 1), (1, 2), (2, 3), (3, 4)
WHOLE = (-1, 0), (0, 3), (3, 4)


def found(location: str = "B.vm_lock_seq") -> Until:
    """Let the reader look a VMA up, and stop it before it touches the lock."""
    return Until("reader", location)


def _script(
    name: str, about: str, build: Build, shown: tuple[Range, ...], *script: Until
) -> Scenario:
    return Scenario(f"script/{name}", about, build, script, shown)


SCENARIOS = [
    _script(
        "a01",
        "a split before the lookup is seen whole",
        writes(lambda p: p.protect(1, 2, NONE)),
        SPLIT,
        Until("reader", "mm.mm_mt.root", skip=1),
        WRITER,
    ),
    _script(
        "a02",
        "a merge behind the reader gives the permitted duplicate",
        writes(lambda p: p.protect(1, 2, RW), before=lambda p: p.protect(1, 2, NONE)),
        ((-1, 0), (0, 1), (0, 3), (3, 4)),
        Until("reader", "mm.mm_mt.root", skip=2),
        WRITER,
    ),
    _script(
        "a03",
        "a VMA that is write-locked sends the reader behind the writer",
        writes(lambda p: p.protect(0, 3, NONE)),
        ((-1, 0), (0, 3), (3, 4)),
        Until("writer", "mm.mm_lock_seq", skip=1, store=True),
        READER,
        WRITER,
    ),
    _script(
        "a04",
        "a VMA that is write-locked before the reader counts itself in",
        writes(lambda p: p.protect(1, 2, NONE)),
        SPLIT,
        found("B.vm_refcnt"),
        Until("writer", "mm.mm_mt.root", store=True),
        READER,
        WRITER,
    ),
    _script(
        "a05",
        "a VMA that is unmapped between lookup and lock is a real gap",
        writes(lambda p: p.unmap(0, 3)),
        ((-1, 0), (3, 4)),
        found(),
        WRITER,
    ),
    _script(
        "a06",
        "its object, used again further on, is not taken for the next VMA",
        writes(lambda p: p.unmap(0, 3), lambda p: p.map(7, 8)),
        ((-1, 0), (3, 4), (7, 8)),
        found(),
        WRITER,
    ),
    _script(
        "a07",
        "its object, used again behind the reader, is refused",
        writes(lambda p: p.unmap(0, 3), lambda p: p.map(-5, -4)),
        ((-1, 0), (3, 4)),
        found(),
        WRITER,
    ),
    _script(
        "a08",
        "its object, used again by another mm, is put back and that mm's writer woken",
        other_mm,
        ((-1, 0), (3, 4)),
        found(),
        Until("writer", "mm 2.mmap_lock.mutex", skip=2),
        found("B.vm_mm"),
        WRITER,
    ),
    _script(
        "a09",
        "a split below does not hide the part that is a new VMA",
        writes(lambda p: p.protect(1, 2, NONE)),
        SPLIT,
        found(),
        WRITER,
    ),
    _script(
        "a10",
        "a VMA that shrank between lookup and lock: no false gap behind it",
        writes(lambda p: p.protect(0, 1, NONE)),
        ((-1, 0), (0, 1), (1, 3), (3, 4)),
        found(),
        WRITER,
    ),
    _script(
        "a11",
        "as a10, with the writer between its two splits",
        writes(lambda p: p.protect(1, 2, R | PROT_EXEC), before=lambda p: p.protect(1, 3, NONE)),
        SPLIT,
        found("C.vm_lock_seq"),
        WRITER,
    ),
    _script(
        "a12",
        "as a10, at the end of the map",
        writes(lambda p: p.protect(0, 1, NONE), before=lambda p: p.unmap(3, 4)),
        ((-1, 0), (0, 1), (1, 3)),
        found(),
        WRITER,
    ),
    _script(
        "a13",
        "a writer at work elsewhere costs nothing where there is no gap",
        writes(lambda p: p.map(7, 8)),
        WHOLE,
        Until("writer", "mm.mm_mt.root", store=True),
    ),
    _script(
        "a14",
        "a writer that has downgraded and frees stops nobody",
        writes(lambda p: p.unmap(7, 8), before=lambda p: p.map(7, 8)),
        WHOLE,
        Until("writer", "mm.page_table.lock"),
    ),
    _script(
        "a15",
        "a VMA that was fetched but not shown, and merged before the next fill: a duplicate",
        merge_between_fills,
        ((-1, 0), (0, 1), (0, 3), (3, 4)),
        Until("reader", "file 0.seq.mutex", skip=2),
        WRITER,
    ),
    _script(
        "a16",
        "at the limit of readers the rest of the fill is made under mmap_lock",
        at_the_limit,
        WHOLE,
    ),
    _script(
        "a17",
        "two queries on one file share nothing but the mm",
        two_queries,
        ((0, 3),),
        Until("reader", "B.vm_mm"),
        Until("reader 2"),
    ),
    _script(
        "a18",
        "the last user exits between two fills: the next one finds nothing",
        exit_between_fills,
        ((-1, 0),),
        Until("reader", "file 0.seq.mutex", skip=1),
        WRITER,
    ),
]
