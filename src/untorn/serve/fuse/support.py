"""Whether a tree can be mounted here."""

import os
import shutil

from untorn.errors import OutOfReachError, describe
from untorn.serve.fuse.mounting import DEVICE, HELPER


def check_libraries() -> None:
    """Raise OutOfReachError if a needed library is not installed."""
    try:
        import untorn.serve.fuse.libfuse  # noqa: F401 (only whether it can be had)
    except ModuleNotFoundError as error:
        raise OutOfReachError("mount needs mfusepy: pip install 'untorn[mount]'") from error
    except ImportError as error:
        raise OutOfReachError(f"mount needs libfuse3: {error}") from error


def mount_refusal() -> str:
    """Return why nothing can be mounted here; "" if it can."""
    try:
        check_libraries()
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except (OutOfReachError, OSError) as error:
        return describe(error)
    if os.geteuid() and not shutil.which(HELPER):
        return f"{HELPER} is not on PATH; on Debian: apt install fuse3"
    return ""
