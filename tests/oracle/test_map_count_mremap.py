"""How near to max_map_count a mapping may still be moved: the same in engine and kernel."""

from dataclasses import replace
from errno import ENOMEM
from functools import partial
from pathlib import Path

import pytest

from tests.oracle.map_count import FIXED, LARGEST, Line, answer, run_beside_its_own
from tests.oracle.worlds import RW, EngineWorld, KernelWorld, engine_limits
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE, PROT_NONE, PROT_READ

P = PAGE_SIZE
MOVE = MREMAP_FIXED | MREMAP_MAYMOVE


def attempts(pages: int, below: int) -> list[Line]:
    """Return what is tried at `below` VMAs under the limit, with its value and errno.

    A mapping of two pages, and a page right behind it, so that it cannot grow where it is.
    """

    def named(needed: int, value: int) -> tuple[int, int]:
        return (value, 0) if below >= needed else (-1, ENOMEM)

    far = pages + 16 * P
    return [
        ("no change", ["mremap", pages, 2 * P, 2 * P, 0, 0], (pages, 0)),
        ("to a place", ["mremap", pages, 2 * P, 2 * P, MOVE, far], named(6, far)),
        ("and back", ["mremap", far, 2 * P, 2 * P, MOVE, pages], named(6, pages)),
        (
            "a copy stays",
            ["mremap", pages, 2 * P, 2 * P, MOVE | MREMAP_DONTUNMAP, far],
            named(6, far),
        ),
        ("it goes", ["munmap", far, 2 * P], (0, 0)),
        ("larger, elsewhere", ["mremap", pages, 2 * P, 3 * P, 0, 0], (-1, ENOMEM)),
    ]


def script(base: int, limit: int, own: int) -> list[Line]:
    """Make limit VMAs, try, unmap one and try again, down to nine below the limit."""
    end = base + 2 * limit * P
    pages = end + 16 * P
    lines: list[Line] = [
        ("one VMA", ["mmap", base, end - base, PROT_NONE, FIXED, -1, 0], (base, 0)),
        ("two pages", ["mmap", pages, 2 * P, RW, FIXED, -1, 0], (pages, 0)),
        (
            "and one behind them",
            ["mmap", pages + 2 * P, P, PROT_NONE, FIXED, -1, 0],
            (pages + 2 * P, 0),
        ),
        (
            "splits",
            ["alternate", base, 2 * limit, PROT_READ],
            ((limit - own - 3) // 2, ENOMEM),
        ),
    ]
    for below in range(9):  # what splits at the limit still makes the first of its two cuts
        lines += [
            (f"{what}, {below} below", step, expected)
            for what, step, expected in attempts(pages, below)
        ]
        page = base + (2 * below + 1) * P
        lines.append((f"one less than {below} below", ["munmap", page, P], (0, 0)))
    return lines


@pytest.mark.parametrize("limit", [63, 64], ids=str)
def test_the_engine_moves_as_near_to_the_limit_as_linux(limit: int) -> None:
    engine = EngineWorld(replace(engine_limits(), max_map_count=limit))
    for what, step, expected in script(engine.base, limit, 0):
        assert answer(engine, step) == expected, what
        engine.maps()


@pytest.mark.live
def test_the_kernel_moves_as_near_to_the_limit_as_the_engine(kernel: KernelWorld) -> None:
    limit = int(Path("/proc/sys/vm/max_map_count").read_text())
    if limit > LARGEST:
        pytest.skip(f"vm.max_map_count is {limit} here: too many VMAs to make in a test")
    base = 0x5000_0000_0000
    answers, expected = run_beside_its_own(
        kernel, partial(script, base, limit), base, 2 * limit * P + 64 * P
    )
    assert answers == expected
