"""A 32-bit process from its maps: the engine places, refuses and ends as the kernel does."""

import resource
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.helpers.engine import text_of
from tests.oracle.compat import Compat, compat_process
from tests.oracle.worlds import ANONYMOUS, CAP_SYS_RAWIO
from untorn.conform.traced.bounds import memory_pages, sysctl
from untorn.maps.page import IA32_PAGE_OFFSET, IA32_PAGE_OFFSET_3GB, PAGE_SIZE, PMD_SIZE
from untorn.mm.limits import RLIM_INFINITY, Limits
from untorn.mm.mman import (
    MADV_DONTNEED,
    MAP_32BIT,
    MAP_ABOVE4G,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_NORESERVE,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from untorn.syscalls import Process

pytestmark = pytest.mark.live

P = PAGE_SIZE
ODD = PROT_WRITE | PROT_EXEC
"""A protection that no program has, so that nothing merges with what it mapped itself."""
SETARCH = "setarch"
FULL, LESS = IA32_PAGE_OFFSET, IA32_PAGE_OFFSET_3GB
OLD = ["old"]
"""Instead of a command: a program for which what may be read may be executed."""
LAYOUTS: dict[str, tuple[list[str], int]] = {
    "as usual": ([], FULL),
    "old program": (OLD, FULL),
    "without randomization": ([SETARCH, "-R"], FULL),
    "bottom up": ([SETARCH, "-L"], FULL),
    "bottom up without randomization": ([SETARCH, "-RL"], FULL),
    "3 GB": ([SETARCH, "-3"], LESS),
    "3 GB without randomization": ([SETARCH, "-R3"], LESS),
    "3 GB bottom up": ([SETARCH, "-RL3"], LESS),
    "small stack": (["sh", "-c", 'ulimit -Ss 100; exec "$0"'], FULL),
    "large stack": (["sh", "-c", 'ulimit -Ss 1000000; exec "$0"'], FULL),
    "any stack": (["sh", "-c", 'ulimit -Ss unlimited; exec "$0"'], FULL),
}


def limits_of(compat: Compat) -> Limits:
    soft = resource.prlimit(compat.pid, resource.RLIMIT_STACK)[0]
    lowest = compat.call("mmap", P, P, PROT_READ, ANONYMOUS)  # a hint below the least is raised
    compat.call("munmap", lowest, P)
    return Limits(
        rlimit_stack=RLIM_INFINITY if soft == resource.RLIM_INFINITY else soft,
        cap_sys_rawio=compat.has_capability(CAP_SYS_RAWIO),
        mmap_min_addr=lowest,
        dac_mmap_min_addr=sysctl("mmap_min_addr"),
        totalram_pages=memory_pages(),
    )


@pytest.fixture(params=list(LAYOUTS.values()), ids=list(LAYOUTS))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Process, Compat]]:
    """A real 32-bit process, and the engine's that starts from its maps."""
    command, task_size = request.param
    old = command == OLD
    with compat_process(tmp_path / "compat", *([] if old else command), old=old) as kernel:
        text, topdown = kernel.maps(), "L" not in "".join(command[1:2])
        heap, limits = kernel.heap(), limits_of(kernel)
        engine = Process.from_maps(text, topdown=topdown, heap=heap, limits=limits)
        assert engine.mm.task_size == task_size, "the text tells"
        assert text_of(engine) == text
        yield engine, kernel


def result(call: Any, *arguments: int) -> int:
    """Return what an engine's call gives, an errno negated."""
    try:
        value = call(*arguments)
    except OSError as error:
        return -(error.errno or 0)
    return value or 0


def agree(pair: tuple[Process, Compat], name: str, *arguments: int) -> int:
    """Make a call on both; return what both give."""
    engine, kernel = pair
    expected = kernel.call(name, *arguments)
    got = result(getattr(engine, name), *arguments)
    assert (hex(got), name, arguments) == (hex(expected), name, arguments)
    return expected


def same_maps(pair: tuple[Process, Compat]) -> None:
    assert text_of(pair[0]) == pair[1].maps()


def test_new_mappings_go_to_the_same_places(pair: tuple[Process, Compat]) -> None:
    random = Random(1)
    mapped: list[tuple[int, int]] = []
    lengths = (P, P, 2 * P, 7 * P, 100 * P, PMD_SIZE, 3 * PMD_SIZE, 1 << 28)
    flags = (0, 0, 0, MAP_32BIT, MAP_ABOVE4G, MAP_GROWSDOWN)
    for _ in range(150):
        if mapped and random.random() < 0.3:
            agree(pair, "munmap", *mapped.pop(random.randrange(len(mapped))))
            continue
        length = random.choice(lengths)
        hint = random.choice((0, 0, 0, *(start + P for start, _ in mapped[-2:])))
        more = random.choice(flags) | MAP_NORESERVE
        addr = agree(pair, "mmap", hint, length, ODD, ANONYMOUS | more)
        if addr > 0:
            mapped.append((addr, length))
    same_maps(pair)


def test_it_can_be_filled_to_the_last_page(pair: tuple[Process, Compat]) -> None:
    for length in (1 << 30, 1 << 26, 1 << 22, 1 << 18):
        while agree(pair, "mmap", 0, length, ODD, ANONYMOUS | MAP_NORESERVE) > 0:
            pass
        same_maps(pair)


BORDERS = (
    *(0, P, 1 << 16, 1 << 30, 1 << 31, LESS - P, LESS, LESS + P),
    *(FULL - 2 * P, FULL - P, FULL, FULL + P, (1 << 32) - P),
)
LENGTHS = (1, P, 2 * P, 3 * P, LESS, LESS + P, FULL, FULL + P, (1 << 32) - P, (1 << 32) - 1)


@pytest.mark.parametrize("more", [0, MAP_FIXED_NOREPLACE, MAP_FIXED_NOREPLACE | MAP_GROWSDOWN])
def test_mmap_at_the_border(pair: tuple[Process, Compat], more: int) -> None:
    for addr in BORDERS:
        for length in LENGTHS:
            arguments = addr, length, ODD, ANONYMOUS | MAP_NORESERVE | more
            mapped = agree(pair, "mmap", *arguments)
            if mapped >= 0:
                agree(pair, "munmap", mapped, length)
    same_maps(pair)


def test_ranges_at_the_border(pair: tuple[Process, Compat]) -> None:
    """Where nothing is mapped, so that neither loses its program."""
    page = agree(pair, "mmap", 0, 2 * P, ODD, ANONYMOUS)
    for addr in BORDERS[5:]:
        for length in LENGTHS:
            if addr + length > pair[0].mm.task_size:
                agree(pair, "munmap", addr, length)
            if addr >= pair[0].mm.task_size:
                agree(pair, "mprotect", addr, length, PROT_READ)
                agree(pair, "madvise", addr, length, MADV_DONTNEED)
            agree(pair, "mremap", page, 2 * P, length, 0)
            to = MREMAP_MAYMOVE | MREMAP_FIXED
            if addr >= pair[0].mm.task_size - P:
                agree(pair, "mremap", page, 2 * P, length, to, addr)
    same_maps(pair)


def test_a_fixed_mapping_above_is_refused_and_one_below_taken(pair: tuple[Process, Compat]) -> None:
    top = pair[0].mm.task_size
    flags = ANONYMOUS | MAP_FIXED
    assert agree(pair, "mmap", top, P, ODD, flags) < 0
    assert agree(pair, "mmap", top - P, 2 * P, ODD, flags) < 0
    assert agree(pair, "mmap", top - P, P, ODD, flags) == top - P
    same_maps(pair)


def test_protections_are_what_the_kernel_makes_of_them(pair: tuple[Process, Compat]) -> None:
    for prot in (PROT_READ, PROT_READ | PROT_WRITE, PROT_WRITE, PROT_EXEC):
        page = agree(pair, "mmap", 0, 3 * P, prot, ANONYMOUS)
        agree(pair, "mprotect", page + P, P, PROT_READ)
        same_maps(pair)
    vdso = next(line for line in pair[1].maps().splitlines() if line.endswith(b"[vvar]"))
    agree(pair, "mprotect", int(vdso[:8], 16), 4 * P, PROT_READ)
    same_maps(pair)


def test_the_heap_ends_where_the_kernel_ends_it(pair: tuple[Process, Compat]) -> None:
    brk = pair[0].mm.brk
    for end in (brk, brk + 1, brk + 5 * P, brk + (1 << 20), brk + 3 * P, LESS, FULL, FULL + P, brk):
        agree(pair, "brk", end)
        same_maps(pair)
