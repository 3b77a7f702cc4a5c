"""The per-VMA-lock reading of /proc/PID/maps: engine, proof, measurement, reader."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from untorn.fs.proc.maps_entry import MapsEntry as MapsEntry
    from untorn.live.reader.details import Details as Details
    from untorn.live.reader.live_maps import LiveMaps as LiveMaps
    from untorn.live.reader.location import Location as Location
    from untorn.live.reader.looks import locate as locate
    from untorn.live.reader.looks import open_maps as open_maps
    from untorn.live.reader.looks import snapshot as snapshot
    from untorn.live.reader.snapshot import Snapshot as Snapshot
    from untorn.live.reader.watch import watch as watch

__version__ = "0.1.0"

_PUBLIC = {
    "MapsEntry": "untorn.fs.proc.maps_entry",
    "Details": "untorn.live.reader.details",
    "LiveMaps": "untorn.live.reader.live_maps",
    "Location": "untorn.live.reader.location",
    "Snapshot": "untorn.live.reader.snapshot",
    "locate": "untorn.live.reader.looks",
    "open_maps": "untorn.live.reader.looks",
    "snapshot": "untorn.live.reader.looks",
    "watch": "untorn.live.reader.watch",
}
"""Where each public name is defined; imported when it is asked for."""


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
