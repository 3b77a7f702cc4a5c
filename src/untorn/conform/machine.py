"""Whether the running kernel can be the oracle."""

import os
import sys

from untorn.conform.differences import MODELLED
from untorn.errors import OutOfReach
from untorn.live.machine import sysctl
from untorn.live.maps_locking import parse_release

_NEVER = 2
"""OVERCOMMIT_NEVER."""


def check_machine() -> None:
    """Refuse a machine whose kernel the engine does not model.

    Raises:
        OutOfReach: with the reason.
    """
    system = os.uname()
    if sys.platform != "linux" or system.machine != "x86_64":
        raise OutOfReach(f"the engine models x86-64 Linux, this is {system.machine}")
    if parse_release(system.release) < MODELLED:
        since = ".".join(map(str, MODELLED))
        raise OutOfReach(f"the engine models Linux {since} and later, this is {system.release}")
    if sysctl("overcommit_memory") == _NEVER:
        raise OutOfReach("the engine does not model vm.overcommit_memory=2")
