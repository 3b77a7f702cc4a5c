"""Races on the running kernel, bounded by passes, so that nothing depends on luck or time."""

import signal
import subprocess
import sys

import pytest

from tests.helpers.ktap_parser import parse_ktap
from tests.helpers.processes import children_of, is_alive
from tests.helpers.tasks import wait_until
from untorn.maps.maps_file import MapsFile
from untorn.maps.page import PAGE_SIZE
from untorn.race.case import Case
from untorn.race.known_faults import KNOWN_FAULTS, KnownFault
from untorn.race.live import LiveRaceTarget
from untorn.race.merging import ALWAYS_MAPPED
from untorn.race.racing import Effort, Race
from untorn.race.scenario import Site
from untorn.race.tally import Tally
from untorn.race.target import RaceOptions
from untorn.releases.release import Release

PASSES = 60
BASE = 0x7F00_0000_0000


@pytest.mark.live
@pytest.mark.parametrize(
    ("kind", "tests"),
    [
        ("maps", ("split", "resize", "remap")),
        ("smaps", ("split", "resize", "remap")),
        ("maps", ("split-inside", "resize-inside", "remap-inside", "query-walk")),
    ],
)
def test_the_kernel_breaks_no_rule_but_by_a_fault_that_is_known(
    kind: str, tests: tuple[str, ...]
) -> None:
    lines: list[str] = []
    target = LiveRaceTarget()
    options = RaceOptions(kind, (), tests, Effort(60, PASSES)).fill_in(target)
    result = target.race(options, lines.append)
    assert (result.skipped, result.interrupted) == (0, False)
    assert result.tally.broken.total() == result.tally.known.total(), "\n".join(lines)
    assert result.tally.passes >= PASSES * len(tests)
    assert result.tally.rounds > 0


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_live_run_with_its_summary_and_no_child(number: signal.Signals) -> None:
    options = "--target", "live", "--test", "resize", "--duration", "3600", "--disturb"
    with subprocess.Popen(
        [sys.executable, "-m", "untorn", "race", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: children_of(process.pid), "a child is started")
        (child,) = children_of(process.pid)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (1, "interrupted\n")
    assert parse_ktap(stdout)[1][-1].startswith("cases: 0 passed, 0 failed, 1 skipped; reads ")
    assert not is_alive(child)


class Recorded(MapsFile):
    """A scene and its file, both recorded: one text per pass."""

    region = BASE, BASE + 7 * PAGE_SIZE
    record = None
    rounds = 0

    def __init__(self, texts: list[str]) -> None:
        self.texts = [maps_text(each).encode() for each in texts]
        self.left = b""

    def open_file(self, file: str, reader: str) -> MapsFile:
        return self

    def close(self) -> None:
        pass

    def seek(self, offset: int, whence: int = 0) -> int:
        self.left = self.texts.pop(0)
        return offset

    def read(self, size: int) -> bytes:
        text, self.left = self.left, b""
        return text

    def modify(self, site: Site) -> None:
        pass

    restore = start = modify

    def stop(self) -> None:
        pass


def maps_text(letters: str) -> str:
    """Return maps of VMAs: a capital begins one, each letter is a page; . is not shown."""
    protections = {"n": "---p", "a": "rw-p", "b": "r--p", "c": "r-xp"}
    starts = [n for n, letter in enumerate(letters) if letter.isupper() or letter == "."]
    text = ""
    for start, end in zip(starts, [*starts[1:], len(letters)], strict=True):
        if letters[start] != ".":
            bounds = f"{BASE + start * PAGE_SIZE:x}-{BASE + end * PAGE_SIZE:x}"
            text += f"{bounds} {protections[letters[start].lower()]} 00000000 00:00 0 \n"
    return text


WHOLE, SPLIT = "NBAaaBN", "NBCAaBN"
CAPTURE = [WHOLE, SPLIT, WHOLE]


@pytest.mark.parametrize(
    ("release", "known"),
    [(Release(6, 18), KNOWN_FAULTS[0]), (Release(6, 16), None)],
    ids=["6.18", "6.16"],
)
def test_a_gap_in_a_recorded_reading_is_found_every_time_and_known_by_release(
    release: Release, known: KnownFault | None
) -> None:
    gap = "NBC..BN"
    texts = [*CAPTURE, WHOLE, gap, SPLIT, gap]
    scene, tally = Recorded(texts), Tally()
    race = Race(scene, scene, "maps", Effort(60, 4), tally, lambda *_: None, release)
    Case("", ALWAYS_MAPPED[0]).race(race)
    assert (tally.passes, tally.gaps, tally.reads) == (4, 2, 4)
    assert tally.broken.total() == 2
    assert dict(tally.known) == ({known: 2} if known else {})
