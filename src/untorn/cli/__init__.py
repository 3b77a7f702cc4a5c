"""The command line: one module per command. Errors become one line.

Exit status: 0 good; 1 what the command looked for is bad or out of reach, with a one-line reason on
stderr; 2 wrong usage.

From the top down: bench, check, conform, doctor, export, kernels, maps, memory, mount, query, race,
stale, watch, calibrate, conform_cluster, conform_program, bench_sim, bench_output, bench_tables,
maps_text, memory_table, memory_rows, watch_view, side_by_side, progress, service, values, options.
"""

import os
import sys
import warnings
from importlib import import_module
from typing import Any

import click

from untorn import __version__
from untorn.errors import UntornError, describe

_COMMANDS = (
    "bench",
    "check",
    "conform",
    "doctor",
    "export",
    "kernels",
    "maps",
    "memory",
    "mount",
    "query",
    "race",
    "stale",
    "watch",
)


class LazyGroup(click.Group):
    """A group that imports a command only when it is used, and turns errors into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, None if there is none."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"untorn.cli.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error that a user can meet prints one line and exits with status 1.

        A warning becomes a line on stderr, too.
        """
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _note
                return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click ends quietly
        except (OSError, UntornError) as error:
            _drop_output()
            raise click.ClickException(describe(error)) from error


def _drop_output() -> None:
    """Drop output that cannot be written: the interpreter would retry at exit, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _note(message: Warning | str, *origin: object, **more: object) -> None:
    click.echo(f"note: {message}", err=True)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
    Example: untorn doctor
    Exit status: 0 good; 1 found bad or out of reach; 2 wrong usage.""",
)
@click.version_option(__version__, message="untorn %(version)s")
def main() -> None:
    """Read the maps of processes without stalling them, and measure who stalls whom."""
