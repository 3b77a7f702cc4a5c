"""From a byte address in memory to the byte of the file that is mapped there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from untorn.errors import OutOfReach
from untorn.fs.proc.maps_entry import MapsEntry
from untorn.fs.proc.procmap_query import QueriedVma
from untorn.live.reader.elf import Elf, read_elf
from untorn.live.reader.lookup import entry_of
from untorn.live.reader.mapped_file import MappedFiles


@dataclass(frozen=True, slots=True)
class Location:
    """Where an address lies. What is None is absent; `absent` says why, by the field's name."""

    addr: int
    """The byte address."""
    vma: QueriedVma
    """The VMA that covers it."""
    offset: int | None = None
    """Bytes into the file; None if no file is mapped."""
    kind: str | None = None
    """What the file is, such as "a regular file"."""
    path: bytes | None = None
    """A path by which we can open the very file, also if it was deleted or replaced.

    Of a file that is not a regular one it should not be opened: see kind.
    """
    elf_address: int | None = None
    """The virtual address in the ELF file, as its symbols and debug information have it."""
    build_id: bytes | None = None
    """Of the ELF file."""
    absent: Mapping[str, str] = field(default_factory=dict)


def locate(
    files: MappedFiles, vma: QueriedVma, addr: int, others: Callable[[], list[MapsEntry]]
) -> Location:
    """Return where a byte address lies in the file of the VMA that covers it.

    Args:
        files: Those of the process.
        vma: The VMA.
        addr: The byte address.
        others: Returns what the process maps of the same file; called only if it matters.
    """
    entry, location = entry_of(vma), Location(addr, vma)
    if not entry.has_file:
        return _without(location, "no file is mapped there")
    location = replace(location, offset=entry.offset_of(addr))
    try:
        with files.find(entry) as found:
            location = replace(location, kind=found.kind, path=found.path)
            with found.read() as file:
                elf = read_elf(file)
    except OutOfReach as error:
        return _without(location, str(error))
    return _in_elf(location, elf, others)


def build_id_of(files: MappedFiles, entry: MapsEntry) -> tuple[bytes, str]:
    """Return the build id of an entry's file, or b"" and the reason why there is none.

    It is never asked of the kernel: to tell it, that reads from whatever is mapped, sockets and
    devices too. Source: lib/buildid.c.
    """
    try:
        with files.find(entry) as found, found.read() as file:
            build_id = read_elf(file).build_id
    except OutOfReach as error:
        return b"", str(error)
    return build_id, "" if build_id else "the ELF file has none"


def _in_elf(location: Location, elf: Elf, others: Callable[[], list[MapsEntry]]) -> Location:
    absent: dict[str, str] = {}
    elf_address = None
    try:
        elf_address = elf.address_of(entry_of(location.vma), location.addr, others)
    except OutOfReach as error:
        absent["elf_address"] = str(error)
    if not elf.build_id:
        absent["build_id"] = "the ELF file has none"
    return replace(location, elf_address=elf_address, build_id=elf.build_id or None, absent=absent)


def _without(location: Location, reason: str) -> Location:
    """Say of all that is not known why it is not."""
    names = ("offset", "kind", "path", "elf_address", "build_id")
    absent = {name: reason for name in names if getattr(location, name) is None}
    return replace(location, absent=absent)
