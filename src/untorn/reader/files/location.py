"""From a byte address in memory to the byte of the file that is mapped there."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from untorn.errors import OutOfReachError
from untorn.maps.entry import MapsEntry
from untorn.maps.procmap_query import PATH_MAX, QueriedVma
from untorn.reader.access.limit import within_half
from untorn.reader.files.elf import Elf, read_elf
from untorn.reader.files.mapped_file import MappedFiles

_NO_BUILD_ID = "the ELF file has none"
_TOO_LONG = "it is longer than PATH_MAX, and can only be opened part by part"


@dataclass(frozen=True, slots=True)
class Location:
    """Where an address lies. A field that is None is absent; `absent` says why, by its name."""

    addr: int
    """The byte address."""
    vma: QueriedVma
    """The VMA that covers it."""
    offset: int | None = None
    """Bytes into the file; None if no file is mapped."""
    kind: str | None = None
    """What the file is, such as "a regular file"."""
    path: bytes | None = None
    """A path by which we can open exactly this file, even if it was deleted or replaced.

    Do not open it unless it is a regular file: see kind.
    """
    elf_address: int | None = None
    """The virtual address in the ELF file, as in its symbols and debug information."""
    build_id: bytes | None = None
    """Build id of the ELF file, if it was asked for."""
    absent: Mapping[str, str] = field(default_factory=dict)


def locate(
    files: MappedFiles,
    vma: QueriedVma,
    addr: int,
    others: Callable[[], list[MapsEntry]],
    *,
    build_id: bool,
) -> Location:
    """Return where a byte address lies in the file of the VMA that covers it.

    Args:
        files: The mapped files of the process.
        vma: The VMA.
        addr: The byte address.
        others: Returns the process's mappings of the same file; called only if it matters.
        build_id: Whether to look for the build id, too.
    """
    entry, location = vma.entry, Location(addr, vma)
    if not entry.has_file:
        return _without(location, "no file is mapped there", build_id)
    location = replace(location, offset=entry.offset_of(addr))
    try:
        kind, path, elf = _look_into(files, entry, build_id)
    except OutOfReachError as error:
        return _without(location, str(error), build_id)
    location = replace(location, kind=kind, path=path)
    if isinstance(elf, str):
        location = _without(location, elf, build_id)
    else:
        location = _in_elf(location, elf, others, build_id)
    if len(path) < PATH_MAX:
        return location
    return replace(location, path=None, absent={**location.absent, "path": _TOO_LONG})


def _look_into(
    files: MappedFiles, entry: MapsEntry, build_id: bool
) -> tuple[str, bytes, Elf | str]:
    """Return the file's kind, a path that opens it, and its ELF data or why there are none.

    Raises:
        OutOfReachError: The file cannot be found, or does not answer.
    """

    def look() -> tuple[str, bytes, Elf | str]:
        with files.find(entry) as found:
            try:
                with found.read() as file:
                    return found.kind, found.path, read_elf(file, build_id=build_id)
            except OutOfReachError as error:
                return found.kind, found.path, str(error)

    try:
        return within_half(look, os.fsdecode(entry.name))
    except TimeoutError:
        raise OutOfReachError("the file does not answer") from None


def build_id_of(files: MappedFiles, entry: MapsEntry) -> tuple[bytes, str]:
    """Return the build id of an entry's file; or b"", and the reason why there is none.

    The kernel is never asked for it: to find it, it reads from whatever is mapped, including
    sockets and devices. Source: lib/buildid.c.
    """
    try:
        _, _, elf = _look_into(files, entry, build_id=True)
    except OutOfReachError as error:
        return b"", str(error)
    if isinstance(elf, str):
        return b"", elf
    return elf.build_id, "" if elf.build_id else _NO_BUILD_ID


def _in_elf(
    location: Location, elf: Elf, others: Callable[[], list[MapsEntry]], build_id: bool
) -> Location:
    absent: dict[str, str] = {}
    elf_address = None
    try:
        elf_address = elf.address_of(location.vma.entry, location.addr, others)
    except OutOfReachError as error:
        absent["elf_address"] = str(error)
    if build_id and not elf.build_id:
        absent["build_id"] = _NO_BUILD_ID
    return replace(location, elf_address=elf_address, build_id=elf.build_id or None, absent=absent)


def _without(location: Location, reason: str, build_id: bool) -> Location:
    """Give a reason for every field that is not known."""
    names = ["offset", "kind", "path", "elf_address", *["build_id"] * build_id]
    absent = {name: reason for name in names if getattr(location, name) is None}
    return replace(location, absent=absent)
