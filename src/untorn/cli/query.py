"""untorn query: one VMA of a live process."""

import errno
import json

import click

from untorn.cli.process_options import Address, pid_argument, text
from untorn.fs.proc.maps_entry import PERMISSION_LETTERS, maps_line
from untorn.fs.proc.procmap_query import PERMISSIONS, QueriedVma
from untorn.live.reader.live_maps import LiveMaps


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
def query(pid: int, addr: int, proc: str, step: bool, as_json: bool) -> None:
    """Print the VMA at an address, hexadecimal, of a process.

    By the PROCMAP_QUERY ioctl where the kernel has it (since 6.11), else by the text. The JSON
    object has also the size of its pages in bytes and the build id of its file.
    """
    with LiveMaps(pid, proc=proc) as maps:
        try:
            found = maps.query(addr, next=step, build_id=as_json)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            where = "at or above" if step else "at"
            raise click.ClickException(f"nothing is mapped {where} {addr:#x}") from None
    if as_json:
        click.echo(json.dumps(_as_json(found)))
    else:
        click.echo(_as_line(found), nl=False)


def _as_line(vma: QueriedVma) -> bytes:
    device = vma.dev_major, vma.dev_minor
    permissions = PERMISSION_LETTERS[vma.flags & PERMISSIONS]
    return maps_line(vma.start, vma.end, permissions, vma.offset, *device, vma.inode, vma.name)


def _as_json(vma: QueriedVma) -> dict[str, object]:
    return {
        "start": vma.start,
        "end": vma.end,
        "permissions": PERMISSION_LETTERS[vma.flags & PERMISSIONS].decode(),
        "page_size": vma.page_size,
        "offset": vma.offset,
        "device": [vma.dev_major, vma.dev_minor],
        "inode": vma.inode,
        "name": text(vma.name),
        "build_id": vma.build_id.hex(),
    }
