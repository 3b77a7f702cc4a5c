"""A child's side of a run: it reports that it is ready, waits for the start, ends with its parent.

A child runs one function. Messages to the parent are lines of JSON on stdout; the parent's side is
children.py.
"""

import ctypes
import json
import os
import signal
import sys
from pkgutil import resolve_name
from types import FrameType
from typing import Any

from untorn.errors import OutOfReachError, describe

_PR_SET_PDEATHSIG = 1


class Stop:
    """Becomes true when the parent asks the child to end (SIGTERM)."""

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGTERM, self._request)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # see Children.add()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True


def main() -> None:
    """Call the function `module:name` of the command line; send an error as a message.

    Its keyword arguments follow, as JSON.
    """
    _die_with_parent()
    try:
        resolve_name(sys.argv[1])(**json.loads(sys.argv[2]))
    except BrokenPipeError:
        os._exit(1)  # the parent is gone: there is nobody to tell
    except (OSError, OutOfReachError) as error:
        send(error=describe(error))
        sys.exit(1)


def end_with_parent(parent: int) -> None:
    """Let the kernel kill this process when the thread that made it ends; exit if it has ended.

    Args:
        parent: PID of the process that made this one; it may be gone by now.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    _die_with_parent()
    if os.getppid() != parent:
        os._exit(1)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def send(**message: Any) -> None:
    """Send one message to the parent."""
    print(json.dumps(message), flush=True)


def wait_for_start() -> None:
    """Report that all is set up, and wait for the start; exit if the parent is gone."""
    send(ready=True)
    # The kernel kills this process with its parent, but not if the parent died before prctl().
    if not sys.stdin.readline():
        sys.exit(1)
