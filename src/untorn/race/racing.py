"""Race a reader against a writer: repeat the passes, judge them, count."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from untorn.judge.contract import Evidence, Verdict, judge
from untorn.judge.history import Range
from untorn.judge.reading import Reading
from untorn.judge.report import report
from untorn.maps.entry import MapsEntry
from untorn.maps.maps_file import MapsFile
from untorn.processes.endings import raise_ending
from untorn.race.known_faults import find_known_fault
from untorn.race.scenario import Scene, Site
from untorn.race.tally import Tally
from untorn.race.witness import Clock, Witness
from untorn.releases.release import Release

Note = Callable[[str, list[str]], None]
"""Called with a heading, and lines that show the map."""
QUIET = Clock(int, int)
"""The clock of readings while nobody writes."""


class UnfitError(Exception):
    """The map is not as a test needs it; the message says how it differs."""


@dataclass(frozen=True, slots=True)
class Effort:
    """When a case has raced enough: when the time is up, or earlier when enough was done.

    Attributes:
        seconds: Seconds since the race began.
        passes, rounds: Enough of the reader's passes and the writer's rounds; both must be reached.
    """

    seconds: float
    passes: float = float("inf")
    rounds: int = 0


class Judged(NamedTuple):
    """A reading and the judge's verdict on it."""

    reading: Reading
    evidence: Evidence
    verdict: Verdict

    @classmethod
    def of(cls, reading: Reading, witness: Witness, within: Range | None = None) -> "Judged":
        """Judge a reading within what the witness knows, or within a smaller range."""
        evidence = witness.evidence(reading)
        return cls(reading, evidence, judge(evidence, reading, within or witness.within))


@dataclass(frozen=True, slots=True)
class Race:
    """What a case needs to race.

    Attributes:
        scene: The scene of the case's scenario.
        file: An open file of the scene.
        kind: Which file it is: see fs/proc/files.py.
        effort: When to stop.
        tally: Counts that grow while it races.
        note: Called with the lines that a round changes: before, after, restored.
        release: Release of the kernel whose file it is; None if it is no kernel's.
    """

    scene: Scene
    file: MapsFile
    kind: str
    effort: Effort
    tally: Tally
    note: Note
    release: Release | None = None

    def against_writer(self, site: Site, one_pass: Callable[[], None]) -> None:
        """Repeat a pass while the writer makes rounds, until the effort is enough.

        Raises:
            OSError: The writer failed.
            KeyboardInterrupt: An ending was asked for inside endings_held().
        """
        scene, tally, effort = self.scene, self.tally, self.effort
        end = monotonic() + effort.seconds
        scene.start(site)
        try:
            while monotonic() < end and (
                tally.passes < effort.passes or scene.rounds < effort.rounds
            ):
                raise_ending()
                try:
                    tally.passes += 1
                    one_pass()
                except (ValueError, UnfitError) as error:
                    tally.fail("a file is not made of whole lines", [str(error)])
            scene.stop()
        finally:
            tally.rounds += scene.rounds

    def judge(self, reading: Reading, witness: Witness, within: Range | None = None) -> None:
        """Judge a reading within what the witness knows, or a smaller range, and count it."""
        self.count(Judged.of(reading, witness, within))

    def count(self, judged: "Judged") -> None:
        """Add a reading to the tally, each time that it is met."""
        self.tally.count(judged.reading, judged.verdict)
        for violation in judged.verdict.violations:
            fault = self.release and find_known_fault(violation, self.kind, self.release)
            text = report(violation, judged.reading, judged.evidence)
            self.tally.fail(violation.rule.value, text, fault or None)

    def capture(
        self,
        site: Site,
        look: Callable[[], Reading],
        show: Callable[[Reading], list[str]],
    ) -> tuple[Reading, Reading]:
        """Return what a look at the map shows before a round and after modify().

        Raises:
            UnfitError: The round changes nothing, or does not take back what it changes.
        """
        original = look()
        self.note("before modification", show(original))
        self.scene.modify(site)
        modified = look()
        self.note("after modification", show(modified))
        self.scene.restore(site)
        restored = look()
        self.note("after restore", show(restored))
        before, between, after = (
            lines_within(self.scene.region, each) for each in (original, modified, restored)
        )
        if before == between or before != after:
            raise UnfitError(
                "a round leaves the map changed" if before != after else "a round changes nothing"
            )
        return original, modified


def lines_within(region: Range, reading: Reading) -> tuple[MapsEntry, ...]:
    """Return the lines of a reading that overlap a region."""
    return tuple(
        line
        for fill in reading.fills
        for line in fill.lines
        if line.end > region[0] and line.start < region[1]
    )
