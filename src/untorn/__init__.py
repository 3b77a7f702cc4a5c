"""The per-VMA-lock reading of /proc/PID/maps: engine, proof, measurement, reader."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from untorn.maps.entry import MapsEntry as MapsEntry
    from untorn.reader.details import Details as Details
    from untorn.reader.files.location import Location as Location
    from untorn.reader.live_maps import LiveMaps as LiveMaps
    from untorn.reader.looks import locate as locate
    from untorn.reader.looks import open_maps as open_maps
    from untorn.reader.looks import snapshot as snapshot
    from untorn.reader.snapshot import Snapshot as Snapshot
    from untorn.reader.stale import Stale as Stale
    from untorn.reader.stale import Survey as Survey
    from untorn.reader.stale import stale as stale
    from untorn.reader.watch import watch as watch

__version__ = "0.1.0"

_PUBLIC = {
    "MapsEntry": "untorn.maps.entry",
    "Details": "untorn.reader.details",
    "LiveMaps": "untorn.reader.live_maps",
    "Location": "untorn.reader.files.location",
    "Snapshot": "untorn.reader.snapshot",
    "locate": "untorn.reader.looks",
    "open_maps": "untorn.reader.looks",
    "snapshot": "untorn.reader.looks",
    "Stale": "untorn.reader.stale",
    "Survey": "untorn.reader.stale",
    "stale": "untorn.reader.stale",
    "watch": "untorn.reader.watch",
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
