"""untorn query: show one VMA of a live process, and where an address lies in its file."""

import errno
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from untorn.cli.options import Address, pid_argument, timeout_option
from untorn.cli.values import text
from untorn.reader.access.limit import TIMEOUT
from untorn.reader.live_maps import LiveMaps
from untorn.reader.looks import look_at

if TYPE_CHECKING:
    from untorn.reader.details import Details
    from untorn.reader.files.location import Location


@click.command(
    epilog="""\b
    Example: untorn query 4242 7f12a4e00000 --next
    Exit status: 0 found; 1 nothing is mapped there, or as for untorn maps;
    2 wrong usage."""
)
@pid_argument
@click.argument("addr", type=Address())
@click.option("--next", "step", is_flag=True, help="Take the next VMA above if none is there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--build-id", is_flag=True, help="Add the build id of the ELF file, in JSON.")
@click.option("--details", is_flag=True, help="Add flags, key, guards, whose stack, in JSON.")
@timeout_option(TIMEOUT, "all looks together")
def query(
    pid: int,
    addr: int,
    proc: str,
    step: bool,
    as_json: bool,
    build_id: bool,
    details: bool,
    timeout: float,
) -> None:
    """Print the VMA at a hexadecimal address of a process.

    It uses the ioctl PROCMAP_QUERY if the kernel has it (since 6.11), and otherwise reads the text.
    The JSON object also has the page size in bytes, and where the address lies in the mapped file:
    the offset in bytes, the virtual address if it is an ELF file, and a path that opens it from
    here. With --details it has what smaps, PAGEMAP_SCAN and the threads' stack pointers show.
    What is not known is null, and "absent" says why.
    """
    if (build_id or details) and not as_json:
        raise click.UsageError("--build-id and --details go with --json")

    def look(maps: LiveMaps) -> bytes:
        vma = maps.query(addr, next=step)
        if not as_json:
            return vma.entry.line()
        location = maps.locate(max(addr, vma.entry.start), build_id=build_id)
        told = _as_json(location, build_id)
        if details:
            _add_details(told, maps.details(location.addr))
        return json.dumps(told).encode() + b"\n"

    try:
        click.echo(look_at(pid, look, proc=proc, timeout=timeout), nl=False)
    except OSError as error:
        if error.errno != errno.ENOENT or error.filename:
            raise
        where = "at or above" if step else "at"
        raise click.ClickException(f"nothing is mapped {where} {addr:#x}") from None


def _as_json(location: "Location", build_id: bool) -> dict[str, Any]:
    entry, absent = location.vma.entry, dict(location.absent)
    if location.offset is None:
        absent = {"file": absent["offset"]} | dict.fromkeys(
            ["build_id"] * build_id, absent["offset"]
        )
    file = {
        "offset": location.offset,
        "kind": location.kind,
        "path": location.path and text(location.path),
        "elf_address": location.elf_address,
    }
    told: dict[str, Any] = {
        "start": entry.start,
        "end": entry.end,
        "permissions": str(entry.permissions),
        "page_size": location.vma.page_size,
        "offset": entry.offset,
        "device": entry.device,
        "inode": entry.inode,
        "name": text(entry.name),
        "file": None if location.offset is None else file,
    }
    if build_id:
        told["build_id"] = location.build_id and location.build_id.hex()
    return told | {"absent": absent}


def _add_details(told: dict[str, Any], details: "Details") -> None:
    fields = asdict(details)
    told["absent"] |= fields.pop("absent")
    told |= fields
