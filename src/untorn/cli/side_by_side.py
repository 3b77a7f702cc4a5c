"""Run at several targets, one process each, as many at a time as there are CPUs."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from untorn.conform.outcome import ConformRun, Outcome
from untorn.conform.target import ConformOptions
from untorn.errors import OutOfReachError, describe
from untorn.processes.child import send
from untorn.processes.children import Child, Children
from untorn.processes.endings import endings_held, raise_ending
from untorn.targets import conform_target

_TURN = 0.2
"""Seconds to wait for one run before we listen to the next."""
_END_TIMEOUT = 60.0
"""Seconds that a run has to end when it is asked to."""
Show = Callable[[int], None]
"""Called now and then with how many operations all runs together have made."""


def run_each(names: Sequence[str], options: ConformOptions, show: Show) -> Iterator[Outcome]:
    """Yield the outcome of each target, in their order, as soon as it is known.

    Inside endings_held(), Ctrl-C or SIGTERM ends the runs under way and leaves out the rest.
    """
    with Children() as children:
        runs = _Runs(children, names, options)
        for name in names:
            try:
                while name not in runs.outcomes and runs.are_under_way:
                    runs.go_on()
                    show(sum(runs.made.values()))
            except KeyboardInterrupt:
                runs.stop()
            if name not in runs.outcomes:
                return
            yield runs.outcomes[name]


class _Runs:
    """All runs.

    Attributes:
        made: How many operations were made, by target.
        outcomes: The outcomes of the runs that ended, by target.
    """

    def __init__(self, children: Children, names: Sequence[str], options: ConformOptions) -> None:
        self._children, self._options = children, options
        self._waiting = list(dict.fromkeys(names))
        self._idle = sorted(os.sched_getaffinity(0))
        self._busy: dict[str, tuple[Child, int]] = {}
        self.made = dict.fromkeys(names, 0)
        self.outcomes: dict[str, Outcome] = {}

    @property
    def are_under_way(self) -> bool:
        """Whether any run has not ended."""
        return bool(self._waiting or self._busy)

    def go_on(self) -> None:
        """Start as many runs as there are CPUs, and hear from each."""
        raise_ending()
        while self._waiting and self._idle:
            self._start(self._waiting.pop(0), self._idle.pop(0))
        for name in list(self._busy):
            with suppress(TimeoutError):
                self._hear(name, _TURN)

    def stop(self) -> None:
        """Let the runs under way end, and start no more."""
        self._waiting.clear()
        for child, _ in self._busy.values():
            child.stop()
        for name in list(self._busy):
            try:
                while name in self._busy:
                    self._hear(name, _END_TIMEOUT)
            except TimeoutError as error:
                self._end(name, OutOfReachError(describe(error)))

    def _start(self, name: str, cpu: int) -> None:
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        options = asdict(self._options)
        child = self._children.add(
            run_target, cpu, nice, patience=_END_TIMEOUT, name=name, options=options
        )
        self._busy[name] = child, cpu

    def _hear(self, name: str, timeout: float) -> None:
        try:
            told = self._busy[name][0].receive(timeout)
        except OutOfReachError as error:
            self._end(name, error)
            return
        self.made[name] = told["made"]
        if "run" in told:
            self._end(name, ConformRun.from_json(told["run"]))

    def _end(self, name: str, outcome: Outcome) -> None:
        self.outcomes[name] = outcome
        self._idle.append(self._busy.pop(name)[1])


def run_target(name: str, options: dict[str, Any]) -> None:
    """Run at a target, as a child; send progress, and at the end the outcome.

    Args:
        name: Name of the target.
        options: The fields of ConformOptions.
    """
    # The parent ends a child it no longer needs, which may have sent everything and be exiting.
    with suppress(KeyboardInterrupt), endings_held():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        run = conform_target(name).conform(
            ConformOptions(**options), lambda so_far: send(made=so_far.operations)
        )
        send(made=run.operations, run=run.as_json())
