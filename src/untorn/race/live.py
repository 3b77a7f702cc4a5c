"""Target `live`: the running kernel; the process under test is a child that we start.

Reader and writer are on different CPUs where there are two: a writer must be able to make a whole
section while the reader is between two instructions.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from types import MappingProxyType

from untorn.errors import os_error
from untorn.judge.history import Range
from untorn.maps.maps_file import MapsFile
from untorn.maps.page import PAGE_SIZE
from untorn.processes.children import START_TIMEOUT, STOP_TIMEOUT, Child, Children
from untorn.processes.disturbance import disturbance, disturbed
from untorn.processes.placement import pin
from untorn.race.live_modifier import Word, encode, map_words
from untorn.race.scenario import Place, Scenario
from untorn.race.target import Record
from untorn.reader.access.kernel_locks import parse_release
from untorn.reader.access.maps_file import LiveMapsFile


class LiveTarget:
    """The running kernel, whose files are read as it fills them in."""

    name = "live"
    readers: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {"maps": ("kernel",), "smaps": ("kernel",)}
    )

    @property
    def disturbance(self) -> str:
        """What disturbs the reader: see RaceTarget."""
        return disturbance()

    @contextmanager
    def open(self, scenario: Scenario, *, disturb: bool = False) -> Iterator["LiveRun"]:
        """Start a child with the scenario set up: see RaceTarget."""
        with ExitStack() as stack:
            cpus = os.sched_getaffinity(0)
            stack.callback(os.sched_setaffinity, 0, cpus)
            pin(0, {max(cpus)})
            shared = os.memfd_create("race")
            stack.callback(os.close, shared)
            os.truncate(shared, PAGE_SIZE)
            children = stack.enter_context(Children())
            child = children.add(
                "untorn.race.live_modifier",
                min(cpus),
                os.getpriority(os.PRIO_PROCESS, 0),
                scenario=encode(scenario),
                parent=os.getpid(),
                shared_fd=shared,
            )
            run = LiveRun(child, map_words(shared), disturb=disturb)
            stack.callback(run.end_disturbance)
            yield run

    @property
    def release(self) -> tuple[int, int]:
        """The running kernel's: see RaceTarget."""
        return parse_release(os.uname().release)


class LiveRun:
    """A child and what is to be done in it: see Run."""

    record: Record | None = None

    def __init__(self, child: Child, words: "memoryview[int]", *, disturb: bool) -> None:
        self._child, self._words, self._disturb = child, words, disturb
        self._disturbance = ExitStack()
        start, end = child.receive(START_TIMEOUT)["region"]
        self.region: Range = start, end

    @property
    def rounds(self) -> int:
        """Rounds made so far: see Run."""
        return self._words[Word.ROUNDS]

    def open_file(self, file: str, reader: str) -> MapsFile:
        """Open a file of the child: see Run."""
        return LiveMapsFile(self._child.pid, file)

    def modify(self, place: Place) -> None:
        """Modify once: see Run."""
        self._tell("modify", place)
        self._await_answer()

    def restore(self, place: Place) -> None:
        """Restore once: see Run."""
        self._tell("restore", place)
        self._await_answer()

    def start(self, place: Place) -> None:
        """Let rounds be made: see Run."""
        self._words[Word.STOP] = 0
        if self._disturb:
            self._disturbance.enter_context(disturbed())
        self._tell("loop", place)

    def stop(self) -> None:
        """Return when the last round is whole: see Run."""
        self.end_disturbance()
        self._words[Word.STOP] = 1
        self._await_answer()

    def end_disturbance(self) -> None:
        """Leave the reader alone again."""
        self._disturbance.close()

    def _tell(self, deed: str, place: Place) -> None:
        self._child.send(do=deed, **asdict(place))

    def _await_answer(self) -> None:
        if error := self._child.receive(STOP_TIMEOUT)["errno"]:
            raise os_error(error)
