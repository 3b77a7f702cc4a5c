"""The ten ways in which a writer changes neighbours, each under every reader.

They follow the catalogue that reviewers of the per-VMA-lock maps reader made: merges over and next
to a VMA, splits off either end.
"""

from collections.abc import Callable

from untorn.check.scenarios.scenario import Build, Layout, Scenario, lay_out
from untorn.check.stage.pages import RW, Pages, R
from untorn.check.stage.stage import Stage

Write = Callable[[Pages], None]

CASES: dict[str, tuple[str, Layout, Write]] = {
    "merge-both": (
        "B gets the protection of its neighbours: A takes B and C over",
        ((0, 1, RW), (1, 2, R), (2, 3, RW)),
        lambda p: p.protect(1, 2, RW),
    ),
    "merge-left": (
        "B gets A's protection: A takes it over",
        ((0, 1, RW), (1, 2, R)),
        lambda p: p.protect(1, 2, RW),
    ),
    "merge-left-partial": (
        "the first page of B gets A's protection: the border moves up",
        ((0, 1, RW), (1, 3, R)),
        lambda p: p.protect(1, 2, RW),
    ),
    "merge-right": (
        "A gets B's protection: B takes it over, downwards",
        ((0, 1, R), (1, 2, RW)),
        lambda p: p.protect(0, 1, RW),
    ),
    "merge-right-partial": (
        "the last page of A gets B's protection: the border moves down",
        ((0, 2, R), (2, 3, RW)),
        lambda p: p.protect(1, 2, RW),
    ),
    "join-both": (
        "a new mapping fills the hole between A and B: A takes all",
        ((0, 1, RW), (2, 3, RW)),
        lambda p: p.map(1, 2),
    ),
    "join-left": ("a new mapping right after A extends it", ((0, 1, RW),), lambda p: p.map(1, 2)),
    "join-right": (
        "a new mapping below A extends it downwards",
        ((1, 2, RW),),
        lambda p: p.map(0, 1),
    ),
    "split-below": (
        "the end of A gets another protection: what is below becomes a new VMA",
        ((0, 2, RW),),
        lambda p: p.protect(1, 2, R),
    ),
    "split-above": (
        "the start of A gets another protection: what is above becomes a new VMA",
        ((0, 2, RW),),
        lambda p: p.protect(0, 1, R),
    ),
}
READERS = ("maps", "query", "smaps")


def one_write(layout: Layout, reader: str, write: Write, locking: str = "vma_lock") -> Build:
    """Return a function that sets a stage with one reader and one write."""

    def build(stage: Stage) -> None:
        lay_out(stage, layout)
        stage.read(reader, locking)
        stage.write(lambda: write(stage.process))

    return build


OTHER_LOCKING = ("mmap_lock", "rcu")
"""Other strategies of readers of maps; their groups have their names."""

SCENARIOS = [
    Scenario(f"{reader}/{name}", about, one_write(layout, reader, write))
    for reader in READERS
    for name, (about, layout, write) in CASES.items()
] + [
    Scenario(
        f"{locking}/{name}",
        about,
        one_write(layout, "maps", write, locking),
        speculated=locking == "rcu",
    )
    for locking in OTHER_LOCKING
    for name, (about, layout, write) in CASES.items()
]
