"""Target `engine`: reader and writer are threads of this process, the map's states are recorded."""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from untorn.fs.maps_file import MapsFile
from untorn.fs.proc.maps_locking import PAGE_WALK_STRATEGIES, STRATEGIES
from untorn.race.record import MapRecord, RecordedMm
from untorn.race.scenario import Place, Scenario
from untorn.syscalls import Process

SWITCH_INTERVAL = 1e-5
"""Seconds after which a thread that wants the GIL asks for it: as often as it can be had."""


class EngineTarget:
    """The engine, under each of its reader strategies."""

    name = "engine"
    readers: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {"maps": tuple(STRATEGIES), "smaps": tuple(PAGE_WALK_STRATEGIES)}
    )
    release = None
    disturbance = f"nothing more: threads take turns every {SWITCH_INTERVAL * 1e6:g} us anyway"

    @contextmanager
    def open(self, scenario: Scenario, *, disturb: bool = False) -> Iterator["EngineRun"]:
        """Make a process with the scenario set up: see RaceTarget."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL)
        run = EngineRun(scenario)
        try:
            yield run
        finally:
            run.end()
            sys.setswitchinterval(before)


class EngineRun:
    """One engine process and a thread that writes: see Run."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        mm = RecordedMm()
        self._process = Process(mm)
        self.record: MapRecord = mm.mm_mt.record
        self.region = scenario.set_up(self._process)
        self.rounds = 0  # written by the writer
        self._asked_to_stop = False  # written by the task that opened the run
        self._failure: BaseException | None = None  # written by the writer, read when it ended
        self._writer: threading.Thread | None = None

    def open_file(self, file: str, reader: str) -> MapsFile:
        """Open maps or smaps."""
        opener = self._process.open_maps if file == "maps" else self._process.open_smaps
        return opener(reader)

    def modify(self, place: Place) -> None:
        """Modify once."""
        self._scenario.modify(self._process, place)

    def restore(self, place: Place) -> None:
        """Restore once."""
        self._scenario.restore(self._process, place)

    def start(self, place: Place) -> None:
        """Let rounds be made."""
        self._asked_to_stop = False
        self._writer = threading.Thread(target=self._make_rounds, args=(place,), name="writer")
        self._writer.start()

    def stop(self) -> None:
        """Return when the last round is whole."""
        self.end()
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """End the writer if it still works, whatever happened to it."""
        self._asked_to_stop = True
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    def _make_rounds(self, place: Place) -> None:
        try:
            while not self._asked_to_stop:
                self.modify(place)
                self.restore(place)
                self.rounds += 1
        except BaseException as error:
            self._failure = error
