"""The public names of the reader, which `untorn` hands on; see CONTRIBUTING.md for the rule."""

from untorn.errors import OutOfReachError, UntornError
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Device, Permissions
from untorn.maps.maps_file import MapsFile
from untorn.maps.procmap_query import ProcmapQuery, QueriedVma, QueryFlags
from untorn.reader.access.priority import NotRaisedWarning
from untorn.reader.details import Details
from untorn.reader.diff import Change, ChangeKind
from untorn.reader.files.location import Location
from untorn.reader.live_maps import LiveMaps
from untorn.reader.looks import locate, open_maps, snapshot
from untorn.reader.snapshot import Coherence, Snapshot, Total
from untorn.reader.stale import Stale, Survey, stale
from untorn.reader.text.columns import Columns
from untorn.reader.text.leniency import Leniency
from untorn.reader.watch import Look, watch

__all__ = [
    "Change",
    "ChangeKind",
    "Coherence",
    "Columns",
    "Details",
    "Device",
    "Leniency",
    "LiveMaps",
    "Location",
    "Look",
    "MapsEntry",
    "MapsFile",
    "NotRaisedWarning",
    "OutOfReachError",
    "Permissions",
    "ProcmapQuery",
    "QueriedVma",
    "QueryFlags",
    "Snapshot",
    "Stale",
    "Survey",
    "Total",
    "UntornError",
    "locate",
    "open_maps",
    "snapshot",
    "stale",
    "watch",
]
