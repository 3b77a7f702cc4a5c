from .errors import OutOfReachError as OutOfReachError
from .errors import UntornError as UntornError
from .maps.entry import MapsEntry as MapsEntry
from .maps.fields import Device as Device
from .maps.fields import Permissions as Permissions
from .maps.maps_file import MapsFile as MapsFile
from .maps.procmap_query import ProcmapQuery as ProcmapQuery
from .maps.procmap_query import QueriedVma as QueriedVma
from .maps.procmap_query import QueryFlags as QueryFlags
from .reader.access.gentle import open_maps_file as open_maps_file
from .reader.access.live_maps_file import LiveMapsFile as LiveMapsFile
from .reader.access.pace import Pace as Pace
from .reader.access.priority import NotRaisedWarning as NotRaisedWarning
from .reader.details import Details as Details
from .reader.diff import Change as Change
from .reader.diff import ChangeKind as ChangeKind
from .reader.files.location import Location as Location
from .reader.live_maps import LiveMaps as LiveMaps
from .reader.looks import locate as locate
from .reader.looks import memory as memory
from .reader.looks import open_maps as open_maps
from .reader.looks import snapshot as snapshot
from .reader.memory.memory import Amounts as Amounts
from .reader.memory.memory import How as How
from .reader.memory.memory import Memory as Memory
from .reader.snapshot import Coherence as Coherence
from .reader.snapshot import Snapshot as Snapshot
from .reader.snapshot import Total as Total
from .reader.stale import Stale as Stale
from .reader.stale import Survey as Survey
from .reader.stale import stale as stale
from .reader.text.columns import Columns as Columns
from .reader.text.leniency import Leniency as Leniency
from .reader.watch import Look as Look
from .reader.watch import watch as watch

__all__: list[str]
__version__: str
