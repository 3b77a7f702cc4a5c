"""Single interleavings with their outcome: what a reader sees if a writer comes at that point.

M = [-1,0) R, X = [0,3) RW and N = [3,4) R are there at the start; traces call them A, B and C. In
the order of the appendix of interleavings that the design was checked against: a01 to a18.
"""

from untorn.check.scenarios.recycling import three_unmapped
from untorn.check.scenarios.scenario import Build, Scenario
from untorn.check.scenarios.script_stages import (
    at_the_limit,
    at_the_limit_line_by_line,
    exit_between_fills,
    merge_between_fills,
    other_mm,
    two_queries,
    writes,
)
from untorn.check.stage.pages import NONE, RW, Piece
from untorn.check.strategies.script import Until

READER, WRITER = Until("reader"), Until("writer")
READER_SLEEPS = Until("reader", "wake-up of reader")
WRITER_SLEEPS = Until("writer", "wake-up of writer")
USES_B_AGAIN = Until("writer", "B.vm_refcnt", skip=3, store=True)
"""B is locked, released and detached; stop where its object is attached again."""
_NEXT_CALL = Until("writer", "mm.mm_lock_seq", skip=2, store=True)
"""A section begins, and ends as it is downgraded; stop where the next one begins."""
M, X, N = (-1, 0, "r--p"), (0, 3, "rw-p"), (3, 4, "r--p")
SPLIT = M, (0, 1, "rw-p"), (1, 2, "---p"), (2, 3, "rw-p"), N


def found(location: str = "B.vm_lock_seq") -> Until:
    """Let the reader look a VMA up, and stop it before it touches the lock."""
    return Until("reader", location)


def _script(
    name: str, about: str, build: Build, shown: tuple[Piece, ...], *script: Until
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
        "a merge of what the reader has passed gives the permitted duplicate",
        writes(lambda p: p.protect(1, 2, RW), before=lambda p: p.protect(1, 2, NONE)),
        (M, (0, 1, "rw-p"), X, N),
        Until("reader", "mm.mm_mt.root", skip=2),
        WRITER,
    ),
    _script(
        "a03",
        "a VMA that is write-locked makes the reader wait for the writer",
        writes(lambda p: p.protect(0, 3, NONE)),
        (M, (0, 3, "---p"), N),
        Until("writer", "mm.mm_lock_seq", skip=1, store=True),
        READER_SLEEPS,
        WRITER,
    ),
    _script(
        "a04",
        "a VMA that is write-locked before the reader counts itself in: it looks again, and waits",
        writes(lambda p: p.protect(1, 2, NONE)),
        SPLIT,
        found("B.vm_refcnt"),
        Until("writer", "mm.mm_mt.root", store=True),
        READER_SLEEPS,
        WRITER,
    ),
    _script(
        "a04-refused",
        "while a writer keeps readers out of a VMA, none counts itself in",
        writes(lambda p: p.protect(1, 2, NONE)),
        SPLIT,
        found("B.vm_refcnt"),
        Until("writer", "B.vm_lock_seq", store=True),
        READER_SLEEPS,
        WRITER,
    ),
    _script(
        "a04-waits",
        "a reader that counted itself in first: the writer waits, and is woken by its last step",
        writes(lambda p: p.protect(1, 2, NONE)),
        (M, X, N),
        Until("reader", "B.vm_lock_seq", skip=1),
        WRITER_SLEEPS,
        READER,
        WRITER,
    ),
    _script(
        "a05",
        "a VMA that is unmapped between lookup and lock is a real gap",
        writes(lambda p: p.unmap(0, 3)),
        (M, N),
        found(),
        WRITER,
    ),
    _script(
        "a06",
        "its object, used again further on, is not taken for the next VMA",
        writes(lambda p: p.unmap(0, 3), lambda p: p.map(7, 8)),
        (M, N, (7, 8, "rw-p")),
        found(),
        USES_B_AGAIN,
        WRITER,
    ),
    _script(
        "a07",
        "its object, used again below the reader, is refused",
        writes(lambda p: p.unmap(0, 3), lambda p: p.map(-5, -4)),
        (M, N),
        found(),
        USES_B_AGAIN,
        WRITER,
    ),
    _script(
        "a08",
        "its object, used again by another mm, is put back and that mm's writer woken",
        other_mm,
        (M, N),
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
        "a VMA that shrank between lookup and lock: no false gap after it",
        writes(lambda p: p.protect(0, 1, NONE)),
        (M, (0, 1, "---p"), (1, 3, "rw-p"), N),
        found(),
        WRITER,
    ),
    _script(
        "a11",
        "as a10, with the VMA found while the writer is between its two splits",
        writes(
            lambda p: p.protect(1, 3, RW),
            lambda p: p.protect(1, 2, NONE),
            before=lambda p: p.protect(1, 3, NONE),
        ),
        SPLIT,
        Until("reader", "mm.mm_mt.root", skip=2),
        Until("writer", "mm.mm_mt.root", skip=2, store=True),
        found(),
        WRITER,
    ),
    _script(
        "a12",
        "as a10, at the end of the map",
        writes(lambda p: p.protect(0, 1, NONE), before=lambda p: p.unmap(3, 4)),
        (M, (0, 1, "---p"), (1, 3, "rw-p")),
        found(),
        WRITER,
    ),
    _script(
        "a13",
        "a writer at work elsewhere costs nothing where there is no gap",
        writes(lambda p: p.map(7, 8)),
        (M, X, N),
        Until("writer", "mm.mm_mt.root", store=True),
    ),
    _script(
        "a14",
        "a writer that has downgraded and frees stops nobody, not even a reader that waited for it",
        writes(lambda p: p.unmap(0, 3)),
        (M, N),
        Until("writer", "mm.mm_mt.root", store=True),
        READER_SLEEPS,
        Until("writer", "mm.page_table.lock"),
        Until("reader", ends=True),
        WRITER,
    ),
    _script(
        "a15",
        "a VMA that was fetched but not shown, and merged before the next fill: a duplicate",
        merge_between_fills,
        (M, (0, 1, "rw-p"), X, N),
        Until("reader", "file 0.seq.mutex", skip=2),
        WRITER,
    ),
    _script(
        "a16",
        "at the limit of readers the rest of the fill is made under mmap_lock",
        at_the_limit,
        (M, X, N),
        found("C.vm_mm"),
        WRITER_SLEEPS,
        READER,
        WRITER,
    ),
    _script(
        "a16-next-fill",
        "the next fill is made under VMA locks again",
        at_the_limit_line_by_line,
        (M, X, (3, 4, "---p")),
        found("C.vm_refcnt"),
        WRITER,
    ),
    _script(
        "a17",
        "two queries on one file share nothing but the mm",
        two_queries,
        (X,),
        Until("reader", "B.vm_mm"),
        Until("reader 2"),
    ),
    _script(
        "a18",
        "the last user exits between two fills: the next one finds nothing",
        exit_between_fills,
        (M,),
        Until("reader", "file 0.seq.mutex", skip=1),
        WRITER,
    ),
    _script(
        "lookups",
        "a reader whose VMA is unmapped at each of its lookups gives up, and asks for mmap_lock",
        three_unmapped,
        (),
        Until("reader", "A.vm_lock_seq"),
        _NEXT_CALL,
        Until("reader", "B.vm_lock_seq"),
        _NEXT_CALL,
        Until("reader", "C.vm_lock_seq"),
        WRITER,
        Until("reader", "mm.mmap_lock.mutex"),
    ),
]
