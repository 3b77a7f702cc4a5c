"""How a value is written: a VMA, a name, a size."""

from untorn.maps.entry import MapsEntry


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
