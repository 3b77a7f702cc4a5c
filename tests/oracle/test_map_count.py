"""How many VMAs there may be, and what is refused then: the same in engine and kernel.

The kernel's limit is the machine's, so the child really makes as many. It makes all calls in one
go, as what it has for itself must not change meanwhile: see map_count.run_beside_its_own().
"""

from dataclasses import replace
from errno import ENOMEM
from functools import partial
from pathlib import Path

import pytest

from tests.oracle.kernel_process import Step
from tests.oracle.map_count import FIXED, LARGEST, Line, answer, run_beside_its_own
from tests.oracle.worlds import RW, EngineWorld, KernelWorld, engine_limits
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import PROT_NONE, PROT_READ

P = PAGE_SIZE


def script(base: int, limit: int, own: int) -> list[Line]:
    """Return what each call shows, the call, and its value and errno.

    The range [base, end) becomes one VMA per page until there are limit VMAs; what is left of it
    is one large VMA up to its end. The page apart touches nothing.
    """
    end = base + 2 * limit * P
    inside, apart = end - 32 * P, end + 16 * P
    ok, refused = (0, 0), (-1, ENOMEM)

    def mmap(addr: int, length: int = P, prot: int = RW) -> Step:
        return ["mmap", addr, length, prot, FIXED, -1, 0]

    return [
        ("one VMA", mmap(base, end - base, PROT_NONE), (base, 0)),
        (
            "a split adds up to two",
            ["alternate", base, 2 * limit, PROT_READ],
            ((limit - own - 1) // 2, ENOMEM),
        ),
        ("at the limit one more is mapped", mmap(apart), (apart, 0)),
        ("above it none is", mmap(apart + 2 * P), refused),
        ("not even one that would merge", mmap(apart + P), refused),
        ("nor in the place of another", mmap(apart), refused),
        ("no split", ["mprotect", inside, P, PROT_READ], refused),
        ("no split to seal", ["mseal", inside, P, 0], refused),
        ("no hole", ["munmap", inside, P], refused),
        ("the end of one goes", ["munmap", end - P, P], ok),
        ("a whole one changes", ["mprotect", apart, P, PROT_READ], ok),
        ("a whole one goes", ["munmap", apart, P], ok),
        ("at the limit no split", ["mprotect", inside, P, PROT_READ], refused),
        ("at the limit no hole", ["munmap", inside, P], refused),
        ("one below it", ["munmap", base + P, P], ok),
        ("one split", ["mprotect", end - 2 * P, P, PROT_READ], ok),
        ("no other", ["mprotect", inside, P, PROT_READ], refused),
        ("one below it again", ["munmap", base + 3 * P, P], ok),
        ("a hole", ["munmap", inside, P], ok),
        ("no other hole", ["munmap", inside + 2 * P, P], refused),
        ("two below it", ["munmap", base + 5 * P, 2 * P], ok),
        ("two splits", ["mprotect", inside + 4 * P, P, PROT_READ], ok),
        ("and no more", ["mprotect", inside + 2 * P, P, PROT_READ], refused),
        ("all merge", ["mprotect", base + 8 * P, (limit // 2) * P, PROT_NONE], ok),
        ("and there is room", ["mprotect", inside + 2 * P, P, PROT_READ], ok),
        ("all go", ["munmap", base, apart + P - base], ok),
    ]


@pytest.mark.parametrize("limit", [63, 64, 65], ids=str)
@pytest.mark.parametrize("own", [0, 1, 2], ids=lambda own: f"{own} of its own")
def test_the_engine_stops_at_max_map_count(limit: int, own: int) -> None:
    engine = EngineWorld(replace(engine_limits(), max_map_count=limit))
    for number in range(own):
        engine.mmap(engine.base + (4 * limit + 2 * number) * P, flags=FIXED)
    for what, step, expected in script(engine.base, limit, own):
        assert answer(engine, step) == expected, what
        engine.maps()


@pytest.mark.live
def test_the_kernel_stops_at_max_map_count_as_the_engine_does(kernel: KernelWorld) -> None:
    limit = int(Path("/proc/sys/vm/max_map_count").read_text())
    if limit > LARGEST:
        pytest.skip(f"vm.max_map_count is {limit} here: too many VMAs to make in a test")
    base = 0x4000_0000_0000
    answers, expected = run_beside_its_own(
        kernel, partial(script, base, limit), base, 2 * limit * P + 64 * P
    )
    assert answers == expected
