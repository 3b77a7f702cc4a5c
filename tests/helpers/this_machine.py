"""What this machine has and allows, and marks that skip tests where it does not."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest

import untorn
from untorn.errors import OutOfReachError
from untorn.reader.access.gentle import Holds
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.access.pagemap import LivePagemap
from untorn.reader.memory.page_frames import KernelPageFrames

T = TypeVar("T")

with LiveMapsFile(os.getpid()) as _maps:
    NO_QUERY = _maps.find_query_refusal()
"""Why there is no PROCMAP_QUERY; "" if there is."""
asks = pytest.mark.skipif(bool(NO_QUERY), reason=f"no PROCMAP_QUERY: {NO_QUERY}")


def _may_open_by_mapping() -> bool:
    vma = next(vma for vma in untorn.snapshot(os.getpid()) if vma.has_file)
    try:
        Path(f"/proc/self/map_files/{vma.start:x}-{vma.end:x}").stat()
    except PermissionError:
        return False
    return True


MAY_OPEN_BY_MAPPING = _may_open_by_mapping()
"""Whether a mapping's file can be opened through the mapping: even root may not in a container."""
by_mapping = pytest.mark.skipif(
    not MAY_OPEN_BY_MAPPING, reason="map_files takes CAP_CHECKPOINT_RESTORE"
)


def _has_scans() -> bool:
    holds = Holds(gentle=False)
    with closing(LivePagemap("/proc/self", holds, holds)) as pagemap:
        return pagemap.scans


def _sees_frames() -> bool:
    frames = KernelPageFrames.open()
    if frames:
        frames.close()
    return frames is not None


HAS_PAGEMAP = Path("/proc/self/pagemap").exists()
HAS_SCANS = HAS_PAGEMAP and _has_scans()
SEES_FRAMES = HAS_PAGEMAP and _sees_frames()
by_scans = pytest.mark.skipif(not HAS_SCANS, reason="no PAGEMAP_SCAN: it came with Linux 6.7")
by_frames = pytest.mark.skipif(not SEES_FRAMES, reason="page frames are shown to root only")
counts_pages = pytest.mark.skipif(
    not (HAS_SCANS or SEES_FRAMES), reason="pages cannot be counted without scans and frames"
)
two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")


def or_skip(make: Callable[[], T]) -> T:
    """Return what is made; skip the test if it is out of reach here."""
    try:
        return make()
    except OutOfReachError as reason:
        pytest.skip(str(reason))


def with_its_own_gil() -> dict[str, str]:
    """Return an environment in which Python itself decides about the GIL."""
    return {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
