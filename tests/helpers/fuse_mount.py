"""A tree that a test serves itself; and whether one can be mounted here."""

import ctypes
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

import pytest

from untorn.serve.fuse.mounting import detach_all, mount_fuse, new_source
from untorn.serve.fuse.node import Directory

_MNT_DETACH = 2


@contextmanager
def mounted(root: Directory, directory: Path) -> Iterator[Path]:
    """Yield a directory at which a tree is mounted; skip the test if none can be."""
    require_mounts()
    from untorn.serve.fuse.session import Session

    source = new_source()
    fuse = mount_fuse(str(directory), source)
    server = threading.Thread(target=Session(root, fuse).serve)
    server.start()
    try:
        yield directory
    finally:
        detach_all(source)
        server.join()


def require_mounts() -> None:
    """Skip the test if nothing can be mounted."""
    if NO_MOUNT:
        pytest.skip(f"cannot mount: {NO_MOUNT}")


def _refusal() -> str:
    """Return why nothing can be mounted, without our own code, which is to be tested."""
    if not (find_spec("mfusepy") and find_library("fuse3")):
        return "takes mfusepy and libfuse3"
    try:
        fuse = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        return str(error)
    try:
        return _refusal_of(fuse)
    finally:
        os.close(fuse)


def _refusal_of(fuse: int) -> str:
    if os.geteuid():
        return "" if shutil.which("fusermount3") else "there is no fusermount3"
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
    with tempfile.TemporaryDirectory() as directory:
        if libc.mount(b"test", os.fsencode(directory), b"fuse", 0, options):
            return os.strerror(ctypes.get_errno())
        libc.umount2(os.fsencode(directory), _MNT_DETACH)
    return ""


NO_MOUNT = _refusal()
"""Why nothing can be mounted; "" if it can."""
mounts = pytest.mark.skipif(bool(NO_MOUNT), reason=f"cannot mount: {NO_MOUNT}")
