"""How the commands write a value: a VMA, a name, a size."""

from untorn.maps.entry import MapsEntry

_UNITS = "KiB", "MiB", "GiB", "TiB"


def entry_as_json(entry: MapsEntry | None) -> dict[str, object] | None:
    """Return the fields of a line; bytes that are not UTF-8 become lone surrogates."""
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
    """Return a name as a string that os.fsencode() turns back into the same bytes."""
    return name.decode("utf-8", "surrogateescape")


def printable(name: bytes) -> str:
    """Return a name for a terminal: nothing in it moves the cursor or changes a colour."""
    readable = name.decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in readable)


def binary_size(size: int) -> str:
    """Return a number of bytes in the largest unit that suits it, KiB or more."""
    scale, unit = _unit_of(size)
    return f"{size / scale:.4g} {unit}"


def binary_range(low: int, high: int, estimate: int | None = None) -> str:
    """Return two numbers of bytes, and perhaps an estimate between them, in one unit."""
    scale, unit = _unit_of(high)
    between = f"{low / scale:.4g}-{high / scale:.4g}"
    if estimate is None:
        return f"{between} {unit}"
    return f"~{estimate / scale:.4g} ({between}) {unit}"


def _unit_of(size: int) -> tuple[int, str]:
    power = min(max((size.bit_length() - 1) // 10, 1), len(_UNITS))
    return 1 << 10 * power, _UNITS[power - 1]
