"""A window drawn with one character per page.

    .  nothing              W  rw-   R  r--   N  ---   X  r-x, all private and anonymous
    S  rw-, sealed          G  rw-, grows down as a stack does
    Z  rw-, no reserve      L  rw-, locked
    D  rw-, droppable       s  rw-, shared          V  -w-

The pages of one run of equal characters are mapped, left to right, with one call; runs that may
merge therefore do.
"""

from itertools import groupby

from tests.oracle.worlds import ANONYMOUS, RW, World
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_SHARED,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)

KINDS = {
    "W": (RW, ANONYMOUS),
    "R": (PROT_READ, ANONYMOUS),
    "N": (PROT_NONE, ANONYMOUS),
    "X": (PROT_READ | PROT_EXEC, ANONYMOUS),
    "S": (RW, ANONYMOUS),
    "G": (RW, ANONYMOUS | MAP_GROWSDOWN),
    "Z": (RW, ANONYMOUS | MAP_NORESERVE),
    "L": (RW, ANONYMOUS | MAP_LOCKED),
    "D": (RW, MAP_DROPPABLE | MAP_ANONYMOUS),
    "s": (RW, MAP_SHARED | MAP_ANONYMOUS),
    "V": (PROT_WRITE, ANONYMOUS),
}


def lay(world: World, diagram: str) -> None:
    """Map what the diagram shows, from the window's first page on."""
    first = 0
    for kind, run in groupby(diagram):
        pages = len(list(run))
        if kind != ".":
            world.put(first, pages, *KINDS[kind])
        if kind == "S":
            world.mseal(world.page(first), pages * PAGE_SIZE)
        first += pages


def vmas(world: World) -> list[tuple[int, int, str]]:
    """Return first page, end page and permissions of each VMA of the window."""
    found = []
    for line in world.maps():
        bounds, permissions = line.decode().split()[:2]
        start, end = (int(text, 16) - world.base >> 12 for text in bounds.split("-"))
        found.append((start, end, permissions))
    return found


def drawn(world: World) -> str:
    """Draw the window's VMAs: each begins with its letter, which - continues; . is a hole.

    The letter is that of KINDS with the same permissions, in lower case if it is shared.
    """
    text = ""
    letters = {"rw-": "W", "r--": "R", "---": "N", "r-x": "X", "--x": "E", "rwx": "A", "-w-": "V"}
    for start, end, permissions in vmas(world):
        letter = letters[permissions[:3]]
        letter = letter.lower() if permissions[3] == "s" else letter
        text += "." * (start - len(text)) + letter + "-" * (end - start - 1)
    return text
