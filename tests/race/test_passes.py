"""Each way to read a map knows exactly which call filled in which line."""

import pytest

from untorn.judge.contract import Verdict, judge
from untorn.judge.reading import Reading
from untorn.maps.maps_file import MapsFile
from untorn.race.passes import WAYS, read_fills
from untorn.race.random_writer import RandomWriter
from untorn.race.record import RecordedMm
from untorn.race.tearing import VMA_COUNT, Split
from untorn.race.witness import Clock
from untorn.syscalls import Process


class Changing:
    """A recorded process, and a clock that changes its map before each call begins.

    So each call sees one state only, and a line must be in the state of exactly the call that made
    its fill.
    """

    def __init__(self, seed: str) -> None:
        mm = RecordedMm()
        self.process = Process(mm)
        self.record = mm.mm_mt.record.viewer()
        self._writer = RandomWriter(seed)
        self._site = self._writer.site(self._writer.set_up(self.process))
        self.clock = Clock(self._change, self.record.version)

    def _change(self) -> int:
        self._writer.modify(self.process, self._site)
        return self.record.version()

    def judge(self, reading: Reading) -> Verdict:
        return judge(self.record.since(reading.fills[0].first), reading)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("way", "kind"),
    [
        ("fills", "maps"),
        ("records", "maps"),
        ("queries", "maps"),
        ("fills", "smaps"),
        ("records", "smaps"),
    ],
)
def test_windows_are_those_of_the_calls_that_made_the_fills(way: str, kind: str, seed: int) -> None:
    changing = Changing(f"{way} {kind} {seed}")
    process = changing.process
    file = process.open(kind)
    for _ in range(10 if kind == "maps" else 2):
        reading = WAYS[way](file, kind, changing.clock)
        assert all(fill.first == fill.last for fill in reading.fills)
        assert all(len(fill.lines) <= 1 for fill in reading.fills) or way == "fills"
        verdict = changing.judge(reading)
        assert verdict.violations == ()
        assert verdict.lines


@pytest.mark.parametrize("shift", [-1, 1])
@pytest.mark.parametrize("way", ["records", "queries"])
def test_the_windows_of_the_calls_before_or_after_would_not_do(way: str, shift: int) -> None:
    changing = Changing("shifted")
    file = changing.process.open()
    broken = 0
    for _ in range(10):
        reading = WAYS[way](file, "maps", changing.clock)
        last = len(reading.fills) - 1
        others = [reading.fills[min(max(n + shift, 0), last)] for n in range(last + 1)]
        fills = [
            fill._replace(first=other.first, last=other.last)
            for fill, other in zip(reading.fills, others, strict=True)
        ]
        broken += bool(changing.judge(reading._replace(fills=fills)).violations)
    assert broken


def test_a_part_of_a_map_is_read_on_request() -> None:
    process = Process()
    Split().set_up(process)
    clock = Clock(int, int)
    whole = read_fills(process.open(), "maps", clock)
    assert sum(len(fill.lines) for fill in whole.fills) == VMA_COUNT + 2
    part = read_fills(process.open(), "maps", clock, 1)
    assert part.fills == whole.fills[:1]
    assert part.ended_from is None


def test_a_read_that_ends_within_a_line_is_refused() -> None:
    class Cut(MapsFile):
        def seek(self, offset: int, whence: int = 0) -> int:
            return offset

        def close(self) -> None:
            pass

        def read(self, size: int) -> bytes:
            return b"00001000-00002000 rw-p 00000000 00:00 0 \n00002000-0"

    with pytest.raises(ValueError, match="a read ends within a line"):
        read_fills(Cut(), "maps", Clock(int, int))
