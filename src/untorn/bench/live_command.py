"""A scanner of target `live` that runs a command over and over, and outlives all that it started.

Signals are not handled but waited for. Orphans of the command, whatever group or session they made
for themselves, become children of this process (a subreaper), which ends when it has none left.
"""

import ctypes
import os
import signal
from collections import Counter
from contextlib import suppress

from untorn.errors import OutOfReachError
from untorn.processes.child import send, serve, wait_for_start
from untorn.processes.processes import children_of

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_AWAITED = {signal.SIGTERM, signal.SIGCHLD}
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_NULL_FILES = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]


def work(command: list[str]) -> None:
    """Run a command again and again from the parent's word to its end; send what came of it.

    Raises:
        OSError: It cannot be started.
        OutOfReachError: It failed each time.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    wait_for_start()
    try:
        statuses = repeat(command)
    finally:
        end_children()
    failed = statuses.total() - statuses[0]
    if failed and not statuses[0]:
        raise OutOfReachError(f"{command[0]} {_describe(*statuses.most_common(1)[0])}")
    send(scans=statuses[0], **({"failed": failed} if failed else {}))


def repeat(command: list[str]) -> Counter[int]:
    """Run a command until asked to stop; count the statuses it ended with, signals negative."""
    statuses: Counter[int] = Counter()
    while True:
        pid = os.posix_spawnp(
            command[0],
            command,
            os.environ,
            file_actions=_NULL_FILES,
            setpgroup=0,
            setsigmask=(),
            setsigdef=_IGNORED_BY_PYTHON,
        )
        if not _await_end(pid):
            return statuses
        # What it left in its group, whose number is not reused before it is reaped.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        statuses[os.waitstatus_to_exitcode(status)] += 1
        _reap_orphans()


def end_children() -> None:
    """Kill all children, and what becomes a child when they are gone."""
    while children := children_of(os.getpid()):
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)


def _reap_orphans() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _await_end(pid: int) -> bool:
    """Return true when a child has ended, not yet reaped; false if asked to stop before."""
    while signal.sigwait(_AWAITED) == signal.SIGCHLD:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return True
    return False


def _describe(status: int, times: int) -> str:
    how = f"killed by signal {-status}" if status < 0 else f"status {status}"
    return f"failed each time: {how}, {times} times"


if __name__ == "__main__":
    serve(work)
