"""Scripts that come near max_map_count, made by the engine and by a child."""

from collections.abc import Callable

import pytest

from tests.oracle.kernel_process import Step
from tests.oracle.worlds import ANONYMOUS, EngineWorld, KernelWorld
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import MAP_FIXED, MAP_NORESERVE

FIXED = ANONYMOUS | MAP_FIXED | MAP_NORESERVE
Line = tuple[str, Step, tuple[int, int]]
"""What a step shows, the step, and its value and errno."""
LARGEST = 1 << 17
"""VMAs; to make more takes seconds."""


def answer(engine: EngineWorld, step: Step) -> tuple[int, int]:
    """Make one step of the child in the engine; return value and errno."""
    name, *arguments = step
    if name == "alternate":
        return alternate(engine, *arguments)
    try:
        return getattr(engine.process, name)(*arguments) or 0, 0
    except OSError as error:
        return -1, error.errno or 0


def alternate(engine: EngineWorld, start: int, pages: int, prot: int) -> tuple[int, int]:
    """Give every second page another protection until that fails; see kernel_child.py."""
    for done, page in enumerate(range(1, pages, 2)):
        _, error = answer(engine, ["mprotect", start + page * PAGE_SIZE, PAGE_SIZE, prot])
        if error:
            return done, error
    return pages // 2, 0


def run_beside_its_own(
    kernel: KernelWorld, script_of: Callable[[int], list[Line]], base: int, length: int
) -> tuple[dict[str, object], dict[str, object]]:
    """Run a script in a child; return what was answered and what is expected, by line.

    The child may get memory of its own while it reads the script, and then has more VMAs than
    the script counts on. So the script is run again until it has as many after it as before.

    Args:
        kernel: The child.
        script_of: Returns the script for the number of VMAs that the child has.
        base: Byte address where the script maps.
        length: Bytes from there that are unmapped after it.
    """
    for _ in range(10):
        own = count_vmas(kernel.all_maps())
        what, steps, expected = zip(*script_of(own), strict=True)
        answers = kernel.process.steps(*steps)
        kernel.munmap(base, length)
        if count_vmas(kernel.all_maps()) == own:
            return dict(zip(what, answers, strict=True)), dict(zip(what, expected, strict=True))
    pytest.fail("the child gets new memory each time that it runs the script")


def count_vmas(maps: bytes) -> int:
    """Count the lines, without that of the gate VMA."""
    return maps.count(b"\n") - maps.count(b"[vsyscall]")
