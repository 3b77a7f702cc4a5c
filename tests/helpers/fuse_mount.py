"""A tree that a test serves itself, and whether one can be mounted here."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from untorn.serve.fuse.mounting import detach_all, mount_fuse, new_source
from untorn.serve.fuse.node import Directory


@contextmanager
def mounted(root: Directory, directory: Path) -> Iterator[Path]:
    """Give a directory at which a tree is mounted; skip the test where none can be."""
    session = pytest.importorskip("untorn.serve.fuse.session", reason="takes mfusepy and libfuse3")
    source = new_source()
    try:
        fuse = mount_fuse(str(directory), source)
    except OSError as error:
        pytest.skip(f"cannot mount: {error}")
    server = threading.Thread(target=session.Session(root, fuse).serve)
    server.start()
    try:
        yield directory
    finally:
        detach_all(source)
        server.join()


def _refusal() -> str:
    try:
        from untorn.serve.fuse import session  # noqa: F401 (takes a library)
    except (ImportError, OSError) as error:
        return str(error)
    source = new_source()
    with tempfile.TemporaryDirectory() as directory:
        try:
            os.close(mount_fuse(directory, source))
        except OSError as error:
            return str(error)
        detach_all(source)
    return ""


NO_MOUNT = _refusal()
"""Why nothing can be mounted; "" if it can."""
mounts = pytest.mark.skipif(bool(NO_MOUNT), reason=f"cannot mount: {NO_MOUNT}")
