"""Whether this kernel has PROCMAP_QUERY."""

import os

import pytest

from untorn.reader.access.maps_file import LiveMapsFile

with LiveMapsFile(os.getpid()) as _maps:
    NO_QUERY = _maps.find_query_refusal()
"""Why there is none; "" if there is."""
asks = pytest.mark.skipif(bool(NO_QUERY), reason=f"no PROCMAP_QUERY: {NO_QUERY}")
