"""The options that several commands share, and the types of their values."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from untorn.reader.access.limit import MAX_HOLD

Command = Callable[..., None]
PID = click.IntRange(1, 1 << 22)
"""Source: proc_sys_kernel(5), pid_max."""
OUTPUT_FILE = click.Path(path_type=Path, dir_okay=False, writable=True, allow_dash=True)


def check_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """Refuse, before the run, a file that could not be written after it."""
    if path and path.is_dir():  # the empty name is one, too
        raise click.BadParameter(f"{path} is a directory")
    if path and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no directory {path.parent}")
    return path


class Above(click.FloatRange):
    """A number above 0 and at most `largest`."""

    def __init__(self, largest: float) -> None:
        super().__init__(min=0, min_open=True, max=largest)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; refuse "nan", too."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number


class Address(click.ParamType[int]):
    """A byte address in hexadecimal, as maps prints it, with or without 0x."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; refuse anything else, and more than 64 bits."""
        try:
            addr = int(value, 16)
        except ValueError:
            addr = -1
        if not 0 <= addr < 1 << 64:
            self.fail(f"{value} is not a 64-bit hexadecimal address", param, ctx)
        return addr


proc_option = click.option(
    "--proc",
    default="/proc",
    show_default=True,
    metavar="DIR",
    help="Another procfs, such as a container's; PIDs are the numbers there.",
)

cluster_option = click.option(
    "--cluster",
    "address",
    metavar="ADDRESS",
    help="Run on the workers of this Dask scheduler, for example tcp://host:8786.",
)


def pid_argument(command: Command) -> Command:
    """Add the argument PID, and the option that says in which procfs it counts."""
    return click.argument("pid", type=PID)(proc_option(command))


def seconds_option(name: str, default: float, meaning: str) -> Callable[[Command], Command]:
    """Return an option that is a time in seconds."""
    return click.option(
        name,
        type=Above(86_400),
        default=float(default),
        show_default=True,
        metavar="S",
        help=meaning,
    )


def timeout_option(seconds: float, what: str) -> Callable[[Command], Command]:
    """Return the option that limits the time of a look."""
    return seconds_option("--timeout", seconds, f"Seconds that {what} may take.")


max_hold_option = click.option(
    "--max-hold",
    type=Above(60_000),
    default=MAX_HOLD * 1000,
    show_default=True,
    metavar="MS",
    help="Milliseconds that one call may hold a lock of a process.",
)


def cpu_share_option(default: float, meaning: str) -> Callable[[Command], Command]:
    """Return the option that limits the CPU time of all looks."""
    return click.option(
        "--cpu-share",
        type=Above(1024),
        default=default,
        show_default=True,
        metavar="CPUS",
        help=meaning,
    )
