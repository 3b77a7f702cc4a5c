"""Programs that root starts and that drop its rights."""

import os
import subprocess
import sys

import pytest

BECOME_NOBODY = "os.setgroups([]); os.setgid(65534); os.setuid(65534)"
"""A line of Python, for a program that imports os."""
REFUSED = 77
"""Exit status."""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to become somebody else")


def as_nobody(rtprio: int, nice: int, code: str) -> str:
    """Return what code prints in a process that has no rights except these limits."""
    if os.getuid() != 0:
        pytest.skip("only root can set limits and then give its rights away")
    prelude = f"""
import os, resource
from untorn.reader.access.priority import *
from untorn.reader.access.gentle import *
try:
    resource.setrlimit(resource.RLIMIT_RTPRIO, ({rtprio}, {rtprio}))
    resource.setrlimit(resource.RLIMIT_NICE, ({nice}, {nice}))
except ValueError:
    raise SystemExit({REFUSED})
{BECOME_NOBODY}
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", prelude + code],
        capture_output=True,
        text=True,
    )
    if done.returncode == REFUSED:
        pytest.skip("without CAP_SYS_RESOURCE no limit can be raised")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
