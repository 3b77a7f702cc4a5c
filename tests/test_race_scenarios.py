"""What scenarios do to a region, on the engine, step by step."""

import pickle

import pytest

from untorn.judge.line import parse_maps
from untorn.mm.page import PAGE_SIZE
from untorn.race.tearing import PAGES, VMA_COUNT, Remap, Resize, Split
from untorn.syscalls import Process


def text(process: Process) -> bytes:
    with process.open_maps() as maps:
        return b"".join(iter(lambda: maps.read(1 << 16), b""))


def pages(process: Process, origin: int, count: int = 2 * PAGES) -> str:
    """Each page's VMA by its end: A B C..., in its protection's case (writable upper); . none."""
    shown = ["."] * count
    letters = iter("abcdefghijkl")
    for line in parse_maps(text(process)):
        if line.end <= origin or line.start >= origin + count * PAGE_SIZE:
            continue
        letter = next(letters)
        for page in range(count):
            if line.start <= origin + page * PAGE_SIZE < line.end:
                shown[page] = letter.upper() if b"rw" in line.what[:2] else letter
    return "".join(shown)


@pytest.mark.parametrize(
    ("scenario", "modified"),
    [(Split(), "aBBccc"), (Resize(), "A..bbb"), (Remap(), "AbCddd")],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_round_tears_one_vma_and_mends_it(scenario, modified) -> None:
    scenario = pickle.loads(pickle.dumps(scenario))
    process = Process()
    region = scenario.set_up(process)
    place, before = scenario.place(region), text(process)
    assert pages(process, place.addr) == "AAAbbb"
    for _ in range(2):
        scenario.modify(process, place)
        assert pages(process, place.addr) == modified
        scenario.restore(process, place)
        assert text(process) == before


def test_the_vmas_of_a_region_do_not_merge_with_each_other_nor_with_others() -> None:
    process, scenario = Process(), Split()
    for _ in range(2):
        region = scenario.set_up(process)
        starts = {line.start for line in parse_maps(text(process))}
        assert {scenario.vma(region, number).addr for number in range(VMA_COUNT)} < starts
        assert {region[0], region[1] - PAGE_SIZE} < starts
