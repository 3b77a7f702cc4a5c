"""Target `engine`: reader and writers are threads of this process; every state is recorded."""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from untorn.fs.proc.files import PROC_FILES
from untorn.judge.lines import VMA_LINES
from untorn.maps.maps_file import MapsFile
from untorn.race.record import RecordedMm
from untorn.race.run import RunHere
from untorn.race.scenario import Scenario, Site
from untorn.releases.release import LAST, Release, modelled_by_name
from untorn.syscalls import Process

SWITCH_INTERVAL = 1e-5
"""Seconds after which a thread that wants the GIL asks for it: as short as we can have it."""


class EngineRaceTarget(RunHere):
    """The engine, under each of its reader strategies."""

    readers: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {name: tuple(PROC_FILES[name].lockings) for name in VMA_LINES}
    )

    def __init__(self, release: str = "") -> None:
        """Make the target; its address spaces follow that release, or the last one.

        Raises:
            ValueError: The engine does not model that release.
        """
        self.name = f"engine:{release}" if release else "engine"
        self._modelled = modelled_by_name(release)

    def disturbance(self) -> str:
        """Return what disturbs the reader: see RaceTarget."""
        return f"nothing more: threads take turns every {SWITCH_INTERVAL * 1e6:g} us anyway"

    @contextmanager
    def open(self, scenario: Scenario, *, disturb: bool = False) -> Iterator["EngineScene"]:
        """Make a process and set up the scenario in it: see RunHere."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL)
        scene = EngineScene(scenario, self._modelled)
        try:
            yield scene
        finally:
            scene.end()
            sys.setswitchinterval(before)


class EngineScene:
    """One engine process, and threads that write to it: see Scene."""

    def __init__(self, scenario: Scenario, release: Release = LAST) -> None:
        self._scenario = scenario
        mm = RecordedMm(release=release)
        self._process = Process(mm)
        self.region = scenario.set_up(self._process)
        self.record = mm.mm_mt.record.viewer()
        self._rounds: list[int] = []  # of each writer so far; each thread writes its own
        self._asked_to_stop = False  # written by the task that opened the scene
        self._failures: list[BaseException] = []  # read after the writers have ended
        self._writers: list[threading.Thread] = []

    @property
    def rounds(self) -> int:
        """Rounds made so far: see Scene."""
        return sum(self._rounds)

    def open_file(self, file: str, reader: str) -> MapsFile:
        """Open a file of the process: see Scene."""
        return self._process.open(file, reader)

    def modify(self, site: Site) -> None:
        """Modify once."""
        self._scenario.modify(self._process, site)

    def restore(self, site: Site) -> None:
        """Restore once."""
        self._scenario.restore(self._process, site)

    def start(self, site: Site) -> None:
        """Start the rounds, with one thread for each writer of the scenario."""
        self._asked_to_stop = False
        for writer in self._scenario.writers():
            self._rounds.append(0)
            work = (writer, site, len(self._rounds) - 1)
            self._writers.append(threading.Thread(target=self._make_rounds, args=work))
            self._writers[-1].start()

    def stop(self) -> None:
        """Return when the last rounds are complete."""
        self.end()
        if self._failures:
            raise self._failures[0]

    def end(self) -> None:
        """End the writers if they still run, whatever happened to them."""
        self._asked_to_stop = True
        while self._writers:
            self._writers.pop().join()

    def _make_rounds(self, writer: Scenario, site: Site, number: int) -> None:
        try:
            while not self._asked_to_stop:
                writer.modify(self._process, site)
                writer.restore(self._process, site)
                self._rounds[number] += 1
        except BaseException as error:
            self._failures.append(error)
