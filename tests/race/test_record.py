"""The states of an engine's map, recorded from outside."""

from tests.helpers.engine import text_of
from untorn.judge.lines import parse_lines
from untorn.maps.fields import Permissions
from untorn.maps.page import PAGE_SIZE, TASK_SIZE
from untorn.mm.mman import PROT_NONE, PROT_READ
from untorn.race.merging import Merging
from untorn.race.random_writer import RandomWriter
from untorn.race.record import RecordedMm, Viewer
from untorn.race.scenario import Scenario, Site
from untorn.race.tearing import Remap, Split
from untorn.syscalls import Process


def recorded(scenario: Scenario) -> tuple[Process, Site, Viewer]:
    mm = RecordedMm()
    process = Process(mm)
    region = scenario.set_up(process)
    return process, scenario.site(region), mm.mm_mt.record.viewer()


def test_the_last_state_is_the_map_whatever_calls_were_made() -> None:
    writer = RandomWriter("1")
    process, site, record = recorded(writer)
    for _ in range(400):
        before = record.version()
        writer.modify(process, site)
        history = record.since(before)
        assert history.state(history.last) == parse_lines(text_of(process))
        assert history.first == before
        assert history.last == record.version()
    process.munmap(0, TASK_SIZE)
    history = record.since(record.version())
    assert history.state(history.last) == ()


def test_a_call_that_changes_nothing_publishes_nothing() -> None:
    process, site, record = recorded(Split())
    before = record.version()
    process.mprotect(site.addr, PAGE_SIZE, site.prot)
    process.munmap(1 << 40, PAGE_SIZE)
    assert record.version() == before


def test_a_change_of_attributes_alone_is_a_state() -> None:
    process, site, record = recorded(Merging("", "-a-", "-b-"))
    before = record.version()
    process.mprotect(site.addr + PAGE_SIZE, PAGE_SIZE, PROT_READ)
    history = record.since(before)
    assert history.last == before + 1
    assert [line.permissions for line in history.state(history.last)][1] == Permissions.READ


def test_states_inside_a_write_section_are_recorded() -> None:
    # The page moved over is unmapped first, in the same section.
    process, site, record = recorded(Remap())
    before = record.version()
    Remap().modify(process, site)
    history = record.since(before)
    middle = site.addr + PAGE_SIZE
    mapped = [
        history.mapped_throughout(middle, middle + PAGE_SIZE, version, version)
        for version in range(history.first, history.last + 1)
    ]
    assert mapped[0]
    assert mapped[-1]
    assert [] in mapped


def test_old_states_are_forgotten() -> None:
    process, site, record = recorded(Split())
    Split().modify(process, site)
    history = record.since(record.version())
    assert history.first == history.last == record.version()
    Split().restore(process, site)
    assert record.since(history.first).first == history.first


def test_protection_by_pages_that_no_leaf_of_the_tree_shares() -> None:
    # More VMAs than fit into a leaf of the tree: only the changed leaf is read again.
    process, site, record = recorded(Split())
    for number in range(0, 120, 7):
        vma = Split().vma((site.addr - 7 * PAGE_SIZE, 0), number)
        process.mprotect(vma.addr, PAGE_SIZE, PROT_NONE)
        history = record.since(record.version())
        assert history.state(history.last) == parse_lines(text_of(process))
