"""The engine without the one line that Linux lacks fails no-false-gap; with it, it passes.

The interleaving is scripted: the writer runs after the iterator has returned the VMA that it
changes, and before the reader has locked it.
"""

import inspect
from collections.abc import Callable

import pytest

from tests.helpers.tasks import Worker
from untorn.fs.proc.maps_locking import vma_lock
from untorn.judge.contract import Rule
from untorn.maps.page import PAGE_SIZE
from untorn.mm import vma_lookup
from untorn.mm.mm_types import Vma
from untorn.mm.tree.vma_tree import VmaIterator
from untorn.race.case import Case
from untorn.race.engine import EngineScene
from untorn.race.merging import ALWAYS_MAPPED
from untorn.race.passes import WAYS
from untorn.race.racing import Effort, Race
from untorn.race.scenario import Site
from untorn.race.tally import Tally


class Interrupted(VmaIterator[Vma]):
    """An iterator that lets somebody else have the CPU once, after it has found `addr`."""

    __slots__ = ()
    addr = 0
    then: Callable[[], None] | None = None

    def next(self) -> Vma | None:
        vma = super().next()
        then = Interrupted.then
        if then is not None and vma is not None and vma.vm_start == Interrupted.addr:
            Interrupted.then = None
            Worker(then).join()  # a separate task, run to its end
        return vma


class ScriptedScene(EngineScene):
    """The writer changes the map once, exactly at the critical moment."""

    def start(self, site: Site) -> None:
        Interrupted.addr = site.addr + PAGE_SIZE  # after the neighbour
        Interrupted.then = lambda: self.modify(site)

    def stop(self) -> None:
        assert Interrupted.then is None, "the reader never got there"


@pytest.fixture
def tally(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Tally]:
    """Makes one pass of no-false-gap."""
    monkeypatch.setattr(vma_lock, "VmaIterator", Interrupted)

    def race(way: str) -> Tally:
        scenario, tally = ALWAYS_MAPPED[0], Tally()
        scene = ScriptedScene(scenario)
        with scene.open_file("maps", "vma_lock") as file:
            effort = Effort(seconds=60, passes=1)
            Case("scripted", scenario, way).race(
                Race(scene, file, "maps", effort, tally, lambda heading, lines: None)
            )
        assert tally.passes == 1
        return tally

    return race


@pytest.fixture
def _without_re_seating(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the one line from lock_next_vma()."""
    source = inspect.getsource(vma_lookup.lock_next_vma)
    line = "        counts.reseats += 1\n        vmi.set(vma.vm_end)\n"
    assert source.count(line) == 1
    names = dict(vars(vma_lookup))
    exec("from __future__ import annotations\n" + source.replace(line, "        pass\n"), names)
    monkeypatch.setattr(vma_lock, "lock_next_vma", names["lock_next_vma"])


@pytest.mark.parametrize("way", WAYS)
def test_the_engine_shows_no_false_gap(tally: Callable[[str], Tally], way: str) -> None:
    assert tally(way).broken == {}


@pytest.mark.usefixtures("_without_re_seating")
def test_without_the_re_seating_a_fill_has_a_false_gap(tally: Callable[[str], Tally]) -> None:
    found = tally("fills")
    assert (found.broken, found.gaps) == ({Rule.GAP.value: 1}, 1)
    (text,) = found.reports
    first, second, fourth = (f"{Interrupted.addr + n * PAGE_SIZE:08x}-" for n in (0, 1, 3))
    assert text[0].startswith(f"{Rule.GAP.value}: {second}{fourth[:-1]}, in states ")
    assert f"  {first}{second[:-1]} r-xp 00000000 00:00 0  (read 0)" in text
    assert f"\n> {fourth}" in "\n".join(text)


@pytest.mark.usefixtures("_without_re_seating")
@pytest.mark.parametrize("way", ["records", "queries"])
def test_one_record_at_a_time_and_queries_have_none_even_then(
    tally: Callable[[str], Tally], way: str
) -> None:
    assert tally(way).broken == {}
