"""Whether the file behind a mapping may be had by that mapping: root may not, in a container."""

import os
from pathlib import Path

import pytest

import untorn


def _may() -> bool:
    vma = next(vma for vma in untorn.snapshot(os.getpid()) if vma.has_file)
    try:
        Path(f"/proc/self/map_files/{vma.start:x}-{vma.end:x}").stat()
    except PermissionError:
        return False
    return True


MAY = _may()
by_mapping = pytest.mark.skipif(not MAY, reason="map_files takes CAP_CHECKPOINT_RESTORE")
