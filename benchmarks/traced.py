"""Run commands under `untorn conform --exec`, one after another; make a table of the results."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import chdir
from dataclasses import dataclass
from threading import Event
from types import FrameType

from rich.console import Console
from rich.table import Table

from untorn.conform.program.outcome import ProgramRun
from untorn.conform.program.report import program_mismatch_report, program_summary
from untorn.conform.program.run import run_program
from untorn.conform.program.shorter import shortest_script
from untorn.errors import OutOfReachError
from untorn.processes.endings import endings_held

_MOST_SHOWN = 3
"""For how many mismatches of a command we look for a script."""


@dataclass
class Row:
    """The result of one or several runs of one subject."""

    name: str
    runs: int = 0
    compared: int = 0
    not_modelled: int = 0
    mismatches: int = 0
    programs: int = 0
    processes: int = 0
    threads: int = 0
    seconds: float = 0.0

    def add(self, run: ProgramRun) -> None:
        """Add a run."""
        self.runs += 1
        self.compared += run.operations
        self.not_modelled += run.not_modelled.total()
        self.mismatches += len(run.mismatches)
        self.programs += run.programs
        self.processes += run.processes
        self.threads += run.threads
        self.seconds += run.seconds


class Traced:
    """Runs commands and keeps their results by row."""

    def __init__(self, *, summaries: bool) -> None:
        self._summaries = summaries
        self._counts = Counter[str]()
        self._not_modelled = Counter[str]()
        self.out = Console(
            soft_wrap=True,
            highlight=False,
            markup=False,
            width=None if sys.stdout.isatty() else 120,
        )

    def run(
        self, row: Row, command: Sequence[str], directory: str, *, filtered: bool
    ) -> ProgramRun:
        """Run a command in a directory, print the mismatches, and add the result to a row."""
        with endings_held(), chdir(directory):
            run = run_program(command, filtered=filtered)
        row.add(run)
        for (call, _), count in run.counts.items():
            self._counts[call] += count
        self._not_modelled.update(run.not_modelled)
        if self._summaries or run.mismatches:
            self.out.print("\n".join(program_summary(run, row.name)))
        for found in run.mismatches[:_MOST_SHOWN]:
            shortest = shortest_script(found, row.name)
            self.out.print("\n".join(program_mismatch_report(found, shortest)))
        return run

    def print_table(self, title: str, rows: Iterable[Row]) -> int:
        """Print rows and their sum, and the comparisons by call; return how many mismatched."""
        total = Row("together")
        table = Table(title, "runs", "programs", "processes", "threads", "calls compared")
        for heading in "not modelled", "mismatches", "seconds":
            table.add_column(heading)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in rows:
            _add_row(table, row)
            for field in list(vars(row))[1:]:
                setattr(total, field, getattr(total, field) + getattr(row, field))
        table.add_section()
        _add_row(table, total)
        self.out.print(table)
        self.out.print(f"compared: {_listed(self._counts)}")
        self.out.print(f"not modelled, taken from the kernel: {_listed(self._not_modelled)}")
        return total.mismatches


def within(seconds: float, run: Callable[[], ProgramRun]) -> bool:
    """Make a run; end its processes when its time is over; return whether it ended before.

    Raises:
        KeyboardInterrupt: It was ended by Ctrl-C or SIGTERM.
    """
    over = Event()

    def end(number: int, frame: FrameType | None) -> None:
        over.set()
        os.kill(os.getpid(), signal.SIGTERM)  # run_program() ends what it runs

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        done = run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if done.interrupted and not over.is_set():
        raise KeyboardInterrupt
    return not done.interrupted


def attempt(traced: Traced, name: str, seconds: float, run: Callable[[], ProgramRun]) -> None:
    """Make a run within its time; print why if it was incomplete."""
    try:
        if not within(seconds, run):
            traced.out.print(f"{name}: ended after {seconds:g} s")
    except OutOfReachError as error:
        traced.out.print(f"{name}: {error}")


def _add_row(table: Table, row: Row) -> None:
    numbers = row.runs, row.programs, row.processes, row.threads
    results = row.compared, row.not_modelled, row.mismatches
    cells = [f"{number:,}" for number in (*numbers, *results)]
    table.add_row(row.name, *cells, f"{row.seconds:.0f}")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common()) or "nothing"
