"""Write the figures of untorn bench to stdout and to files."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from untorn.bench.target import BenchOptions
from untorn.errors import OutOfReachError

if TYPE_CHECKING:
    from untorn.bench.environment import Environment
    from untorn.bench.run import BenchResult

FORMATS = (".svg", ".png")
"""Suffixes that a plot's file may have."""
_WIDTH = 300
"""Columns. A table is as wide as its figures; it is never cut."""


def check_plotting() -> None:
    """Raise OutOfReachError if there is no matplotlib, which is imported only to draw."""
    if find_spec("matplotlib") is None:
        raise OutOfReachError("plots need matplotlib: pip install 'untorn[plot]'")


@dataclass(frozen=True, slots=True)
class Output:
    """The results of a benchmark, and how to write them."""

    result: "BenchResult"
    options: BenchOptions
    plot_kind: str | None
    named: Sequence[str]
    """Readers and variants to show first in a picture."""

    def write(self, json_file: Path | None, plot_file: Path | None, page_file: Path | None) -> None:
        """Write the files that were asked for; raise OSError if one cannot be written."""
        from untorn.bench.page import page
        from untorn.bench.report import as_json

        environment = self._environment()
        if json_file:
            _write(json_file, as_json(self.result, environment, self.options) + "\n")
        if plot_file:
            self._draw(environment, plot_file)
        if page_file:
            command = shlex.join(["untorn", *sys.argv[1:]])
            plot = self._svg(environment)
            _write(page_file, page(self.result, environment, self.options, command, plot))

    def print(self, *, raw: bool) -> None:
        """Print the tables, or the columns of the original benchmark."""
        from rich.console import Console

        from untorn.bench.report import rawdata
        from untorn.cli.bench_tables import tables

        result = self.result
        if raw:
            click.echo(rawdata(result.samples), nl=False)
            return
        shown = tables(result.samples, self.options, result.lock_counts)
        Console(width=_WIDTH, markup=False).print(*shown)
        for name, guest in result.guests.items():
            click.echo(
                f"{name}: Linux {guest.kernel}, preempt={guest.preemption}, {guest.guest_of}"
            )

    def _environment(self) -> "Environment":
        """Describe this machine, or the simulated one if nothing else was measured."""
        from untorn.bench.environment import Environment

        where = [self.result.guests.get(each.target) for each in self.result.samples]
        simulated = [each for each in where if each is not None and each.simulated]
        return simulated[0] if len(simulated) == len(where) else Environment.here()

    def _draw(self, environment: "Environment", path: Path) -> None:
        check_plotting()
        from untorn.bench.plots.draw import draw

        draw(self.result, self.options, environment, path, kind=self.plot_kind, named=self.named)

    def _svg(self, environment: "Environment") -> str:
        """Return the plot as an HTML element; an empty string if nothing can be plotted."""
        with TemporaryDirectory(prefix="untorn-") as folder:
            path = Path(folder, "plot.svg")
            try:
                self._draw(environment, path)
            except OutOfReachError:
                return ""
            text = path.read_text()
        return text[text.index("<svg") :]


def _write(path: Path, text: str) -> None:
    try:
        with click.open_file(str(path), "w") as file:
            file.write(text)
    except OSError as error:
        error.filename = error.filename or str(path)  # a write to a full disk does not say
        raise
