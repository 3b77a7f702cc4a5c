"""What scenarios do to a region, on the engine, step by step."""

import pickle
from itertools import groupby

import pytest

from tests.helpers.engine import text_of
from untorn.judge.lines import parse_lines
from untorn.maps.page import PAGE_SIZE
from untorn.race.merging import ALWAYS_MAPPED, MERGES, Merging
from untorn.race.random_writer import RandomWriter
from untorn.race.record import RecordedMm
from untorn.race.tearing import PAGES, VMA_COUNT, Remap, Resize, Split, Tearing
from untorn.syscalls import Process


def pages(process: Process, origin: int, count: int = 2 * PAGES) -> str:
    """Each page's VMA by its end: A B C..., upper case if writable; . for none."""
    shown = ["."] * count
    letters = iter("abcdefghijkl")
    for line in parse_lines(text_of(process)):
        if line.end <= origin or line.start >= origin + count * PAGE_SIZE:
            continue
        letter = next(letters)
        for page in range(count):
            if line.start <= origin + page * PAGE_SIZE < line.end:
                shown[page] = letter.upper() if line.readable and line.writable else letter
    return "".join(shown)


@pytest.mark.parametrize(
    ("scenario", "modified"),
    [(Split(), "aBBccc"), (Resize(), "A..bbb"), (Remap(), "AbCddd")],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_round_tears_one_vma_and_mends_it(scenario: Tearing, modified: str) -> None:
    scenario = pickle.loads(pickle.dumps(scenario))
    process = Process()
    region = scenario.set_up(process)
    site, before = scenario.site(region), text_of(process)
    assert pages(process, site.addr) == "AAAbbb"
    for _ in range(2):
        scenario.modify(process, site)
        assert pages(process, site.addr) == modified
        scenario.restore(process, site)
        assert text_of(process) == before


def test_the_vmas_of_a_region_do_not_merge_with_each_other_nor_with_others() -> None:
    process, scenario = Process(), Split()
    for _ in range(2):
        region = scenario.set_up(process)
        starts = {line.start for line in parse_lines(text_of(process))}
        assert {scenario.vma(region, number).addr for number in range(VMA_COUNT)} < starts
        assert {region[0], region[1] - PAGE_SIZE} < starts


@pytest.mark.parametrize("merging", [*MERGES, *ALWAYS_MAPPED], ids=lambda each: each.name)
def test_a_merge_changes_the_pages_as_it_says_and_back(merging: Merging) -> None:
    mm = RecordedMm()
    process = Process(mm)
    region = merging.set_up(process)
    site, record = merging.site(region), mm.mm_mt.record.viewer()
    for change, pages_after in (merging.modify, merging.after), (merging.restore, merging.before):
        change(process, site)
        runs = [(letter, len(list(run))) for letter, run in groupby(f"-{pages_after}-")]
        runs = [(letter, size) for letter, size in runs if letter != "."]
        lines = parse_lines(text_of(process))
        assert [(line.end - line.start) // PAGE_SIZE for line in lines] == [n for _, n in runs]
        assert len({(letter, line[2:]) for (letter, _), line in zip(runs, lines, strict=True)}) == (
            len({letter for letter, _ in runs})
        )
    history = record.since(record.version())
    solid = merging.solid(region, site)
    for start, end in solid:
        window = history.first, history.last
        assert history.mapped_throughout(start, end, *window) == [(start, end)]
    unmapped = sum(letter == "." for letter in merging.before) * PAGE_SIZE
    assert sum(end - start for start, end in solid) == region[1] - region[0] - unmapped


def test_a_random_writer_does_the_same_again_and_keeps_the_solid_part_mapped() -> None:
    texts = []
    for _ in range(2):
        mm, writer = RecordedMm(), RandomWriter("7")
        process = Process(mm)
        region = writer.set_up(process)
        site, record = writer.site(region), mm.mm_mt.record.viewer()
        for _ in range(300):
            writer.modify(process, site)
        history = record.since(record.version() - 200)
        (solid,) = writer.solid(region, site)
        assert history.mapped_throughout(*solid, history.first, history.last) == [solid]
        texts.append([line[2:] for line in parse_lines(text_of(process))])
    assert texts[0] == texts[1]
    first, second = writer.writers()
    assert first is writer
    assert second.seed != writer.seed
