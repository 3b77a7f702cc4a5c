"""What the commands about one process have in common."""

from collections.abc import Callable
from typing import Any

import click

from untorn.fs.proc.maps_entry import MapsEntry

Command = Callable[..., None]
PID = click.IntRange(1, 1 << 22)
"""Source: proc_sys_kernel(5), pid_max."""


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
    help="Another procfs, as of a container; PID is the number there.",
)


def pid_argument(command: Command) -> Command:
    """Add the argument PID and the option that tells where it counts."""
    return click.argument("pid", type=PID)(proc_option(command))


def entry_as_json(entry: MapsEntry | None) -> dict[str, object] | None:
    """Return what a line says; bytes that are not UTF-8 become lone surrogates."""
    if entry is None:
        return None
    return {
        "start": entry.start,
        "end": entry.end,
        "permissions": entry.permissions.decode(),
        "offset": entry.offset,
        "device": list(entry.device),
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
