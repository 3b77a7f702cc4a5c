"""Target `live`: the running kernel; the process under test is a child that we start.

Reader and writer run on different CPUs if there are two: a writer must be able to complete a whole
section while the reader is between two instructions.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from types import MappingProxyType

from untorn.errors import os_error
from untorn.judge.history import Range
from untorn.judge.lines import VMA_LINES
from untorn.maps.maps_file import MapsFile
from untorn.maps.page import PAGE_SIZE
from untorn.processes.children import START_TIMEOUT, STOP_TIMEOUT, Child, Children
from untorn.processes.disturbance import disturbance, disturbed
from untorn.processes.placement import pin
from untorn.race.live_modifier import Word, encode, map_words, modify_as_told
from untorn.race.run import RunHere
from untorn.race.scenario import Record, Scenario, Site
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.releases.release import Release, running_release


class LiveRaceTarget(RunHere):
    """The running kernel; its files are read as it fills them.

    Args:
        name: The target's name.
    """

    readers: Mapping[str, tuple[str, ...]] = MappingProxyType(dict.fromkeys(VMA_LINES, ("kernel",)))

    def __init__(self, name: str = "live") -> None:
        self.name = name

    def disturbance(self) -> str:
        """Return what disturbs the reader: see RaceTarget."""
        return disturbance()

    @contextmanager
    def open(self, scenario: Scenario, *, disturb: bool = False) -> Iterator["LiveScene"]:
        """Start a child and set up the scenario in it: see RunHere."""
        with ExitStack() as stack:
            cpus = os.sched_getaffinity(0)
            stack.callback(os.sched_setaffinity, 0, cpus)
            pin(0, {max(cpus)})
            shared = os.memfd_create("race")
            stack.callback(os.close, shared)
            os.truncate(shared, PAGE_SIZE)
            children = stack.enter_context(Children())
            child = children.add(
                modify_as_told,
                min(cpus),
                os.getpriority(os.PRIO_PROCESS, 0),
                scenario=encode(scenario),
                parent=os.getpid(),
                shared_fd=shared,
            )
            scene = LiveScene(child, map_words(shared), disturb=disturb)
            stack.callback(scene.end_disturbance)
            yield scene

    @property
    def release(self) -> Release:
        """The running kernel's release: see RunHere."""
        return running_release()


class LiveScene:
    """A child, and commands to it: see Scene."""

    record: Record | None = None

    def __init__(self, child: Child, words: "memoryview[int]", *, disturb: bool) -> None:
        self._child, self._words, self._disturb = child, words, disturb
        self._disturbance = ExitStack()
        start, end = child.receive(START_TIMEOUT)["region"]
        self.region: Range = start, end

    @property
    def rounds(self) -> int:
        """Rounds made so far: see Scene."""
        return self._words[Word.ROUNDS]

    def open_file(self, file: str, reader: str) -> MapsFile:
        """Open a file of the child: see Scene."""
        return LiveMapsFile(self._child.pid, file)

    def modify(self, site: Site) -> None:
        """Modify once: see Scene."""
        self._tell("modify", site)
        self._await_answer()

    def restore(self, site: Site) -> None:
        """Restore once: see Scene."""
        self._tell("restore", site)
        self._await_answer()

    def start(self, site: Site) -> None:
        """Start the rounds: see Scene."""
        self._words[Word.STOP] = 0
        if self._disturb:
            self._disturbance.enter_context(disturbed())
        self._tell("loop", site)

    def stop(self) -> None:
        """Return when the last round is complete: see Scene."""
        self.end_disturbance()
        self._words[Word.STOP] = 1
        self._await_answer()

    def end_disturbance(self) -> None:
        """Stop disturbing the reader."""
        self._disturbance.close()

    def _tell(self, deed: str, site: Site) -> None:
        self._child.send(do=deed, **asdict(site))

    def _await_answer(self) -> None:
        if error := self._child.receive(STOP_TIMEOUT)["errno"]:
            raise os_error(error)
