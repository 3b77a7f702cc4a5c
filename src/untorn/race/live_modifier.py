"""The writer of target `live`: a process of its own that runs a scenario.

Commands are lines of JSON on stdin, and each gets an answer. While a loop runs, parent and child
communicate only by the words of a shared page.
"""

import base64
import gc
import json
import mmap
import os
import pickle
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from untorn.processes.child import send
from untorn.processes.process_under_test import ThisProcess
from untorn.race.scenario import Scenario, Site


class Word(IntEnum):
    """A word of the shared page."""

    ROUNDS = 0
    """Rounds made so far; written by the child."""
    STOP = 1
    """Not 0 if the current round is to be the last; written by the parent."""


def map_words(fd: int) -> "memoryview[int]":
    """Map the shared page of a file descriptor as words of 8 bytes."""
    return memoryview(mmap.mmap(fd, mmap.PAGESIZE)).cast("Q")


def encode(scenario: Scenario) -> str:
    """Return a scenario as text for the child."""
    return base64.b64encode(pickle.dumps(scenario)).decode()


def modify_as_told(scenario: str, parent: int, shared_fd: int) -> None:
    """Set up a scenario, report where, and obey the parent until it closes its pipe.

    Args:
        scenario: The text that encode() made.
        parent: Process ID of the parent.
        shared_fd: The parent's file descriptor of the shared page.
    """
    fd = os.open(f"/proc/{parent}/fd/{shared_fd}", os.O_RDWR | os.O_CLOEXEC)
    modifier = Modifier(pickle.loads(base64.b64decode(scenario)), map_words(fd))
    os.close(fd)
    gc.disable()  # only the scenario may change the map
    send(ready=True, region=modifier.region)
    for line in sys.stdin:
        command = json.loads(line)
        modifier.obey(command.pop("do"), Site(**command))


class Modifier:
    """A scenario in this process.

    Attributes:
        region: The range that its set_up() mapped.
    """

    def __init__(self, scenario: Scenario, words: "memoryview[int]") -> None:
        self._scenario, self._words = scenario, words
        self._process = ThisProcess()
        self.region = scenario.set_up(self._process)
        self._deeds: dict[str, Callable[[Site], Any]] = {
            "modify": lambda site: scenario.modify(self._process, site),
            "restore": lambda site: scenario.restore(self._process, site),
            "loop": self._loop,
        }

    def obey(self, deed: str, site: Site) -> None:
        """Obey a command and answer; an OSError is an answer, too."""
        try:
            self._deeds[deed](site)
        except OSError as error:
            send(errno=error.errno)
        else:
            send(errno=0)

    def _loop(self, site: Site) -> None:
        modify, restore = self._scenario.modify, self._scenario.restore
        process, words = self._process, self._words
        rounds = words[Word.ROUNDS]
        while True:
            modify(process, site)
            restore(process, site)
            rounds += 1
            words[Word.ROUNDS] = rounds
            if words[Word.STOP]:
                return
