"""Whether this kernel has PROCMAP_QUERY."""

import os

import pytest

from untorn.maps.maps_file import find_no_query
from untorn.reader.access.maps_file import LiveMapsFile

with LiveMapsFile(os.getpid()) as _maps:
    NO_QUERY = find_no_query(_maps)
"""Why there is none; "" if there is."""
asks = pytest.mark.skipif(bool(NO_QUERY), reason=f"no PROCMAP_QUERY: {NO_QUERY}")
