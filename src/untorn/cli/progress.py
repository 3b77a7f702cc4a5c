"""Show progress in the last line of a terminal, below what is written to stdout."""

import os
import sys
from shutil import get_terminal_size
from time import monotonic
from typing import Self

import click

from untorn.cli.values import printable


class StatusLine:
    """The status line: cleared at the end of the context, absent where stderr is no terminal.

    Only the run itself refreshes it: a thread that did so would compete with those measured.
    """

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._begun = monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.clear()

    def show(self, what: str, done: int = 0, total: int = 0) -> None:
        """Show this text from now on, and how long the rest may take: see long_run.Report."""
        self.clear()
        if self._shown:
            width = get_terminal_size().columns - 1  # we can clear one row only
            line = f"{printable(os.fsencode(what))}{self._count(done, total)}"
            click.echo(line[:width], err=True, nl=False)

    def clear(self) -> None:
        """Clear the line."""
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)

    def write(self, text: str) -> None:
        """Write a line to stdout."""
        self.clear()
        click.echo(text)

    def _count(self, done: int, total: int) -> str:
        now = monotonic()
        if not total:
            return ""
        if not done:
            self._begun = now
        left = round((now - self._begun) / done * (total - done)) if done else 0
        minutes, seconds = divmod(left, 60)
        number = min(done + 1, total)
        return f" ({number} of {total}{f', {minutes}:{seconds:02} left' if left else ''})"
