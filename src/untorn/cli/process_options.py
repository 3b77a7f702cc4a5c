"""What the commands about processes have in common."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from untorn.maps.entry import MapsEntry

Command = Callable[..., None]
PID = click.IntRange(1, 1 << 22)
"""Source: proc_sys_kernel(5), pid_max."""
OUTPUT_FILE = click.Path(path_type=Path, dir_okay=False, writable=True, allow_dash=True)


def check_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """Refuse before the run what could not be written after it."""
    if path and path.is_dir():  # as the empty name is
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
        """Return the number; refuse also what is not one ("nan")."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number


class Address(click.ParamType[int]):
    """A byte address: hexadecimal with or without 0x in front, as maps prints them."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; refuse what is none, or has more than 64 bits."""
        try:
            addr = int(value, 16)
        except ValueError:
            addr = -1
        if not 0 <= addr < 1 << 64:
            self.fail(f"{value} is not a hexadecimal address of 64 bits", param, ctx)
        return addr


proc_option = click.option(
    "--proc",
    default="/proc",
    show_default=True,
    metavar="DIR",
    help="Another procfs, as of a container; PIDs are the numbers there.",
)


def pid_argument(command: Command) -> Command:
    """Add the argument PID and the option that tells where it counts."""
    return click.argument("pid", type=PID)(proc_option(command))


def timeout_option(seconds: float, what: str) -> Callable[[Command], Command]:
    """Return the option that limits the time of a look."""
    return click.option(
        "--timeout",
        type=Above(86_400),
        default=seconds,
        show_default=True,
        metavar="S",
        help=f"Seconds that {what} may take.",
    )


def entry_as_json(entry: MapsEntry | None) -> dict[str, object] | None:
    """Return what a line says; bytes that are not UTF-8 become lone surrogates."""
    if entry is None:
        return None
    return {
        "start": entry.start,
        "end": entry.end,
        "permissions": str(entry.permissions),
        "offset": entry.offset,
        "device": entry.device,
        "inode": entry.inode,
        "name": text(entry.name),
        "deleted": entry.deleted,
    }


def text(name: bytes) -> str:
    """Return a name as a string, from which os.fsencode() makes the same bytes again."""
    return name.decode("utf-8", "surrogateescape")


def printable(name: bytes) -> str:
    """Return a name for a person: nothing in it moves a cursor or changes a colour."""
    readable = name.decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in readable)


def binary_size(size: int) -> str:
    """Return a number of bytes in the largest unit that keeps it above 1."""
    amount = size / 1024
    for unit in "KiB", "MiB", "GiB":
        if amount < 1024:
            return f"{amount:.4g} {unit}"
        amount /= 1024
    return f"{amount:.4g} TiB"
