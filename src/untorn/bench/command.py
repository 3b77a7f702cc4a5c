"""A command line in the scanners' place (--exec), and the process that runs it over and over.

That process outlives all that it started. It does not handle signals but waits for them. Orphans of
the command, whatever group or session they made for themselves, become children of this process (a
subreaper), which ends when it has none left.
"""

import ctypes
import os
import shlex
import shutil
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

from untorn.errors import OutOfReachError
from untorn.processes.child import send, wait_for_start

EXEC = "exec"
"""The reader that is a command line; its variant is the line."""
_PID, _MOUNT = "{pid}", "{mount}"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_AWAITED = {signal.SIGTERM, signal.SIGCHLD}
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_NULL_FILES = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]


def check_command(text: str) -> None:
    """Raise ValueError with the reason if it is not a command line, or its program is not here."""
    words = shlex.split(text)
    if not words:
        raise ValueError("there is no command")
    if shutil.which(words[0]) is None:
        raise ValueError(f"there is no program {words[0]}")


def needs_mount(text: str) -> bool:
    """Return whether a command line looks at a mount of ours."""
    return _MOUNT in text


def fill_in(text: str, pid: int, mount: str) -> list[str]:
    """Split a command line as a shell does, and fill in what it looks at.

    Args:
        text: The command line.
        pid: The mapper's process ID, which replaces each {pid}.
        mount: The directory of a mount of ours, which replaces each {mount}.
    """
    words = shlex.split(text)
    return [word.replace(_PID, str(pid)).replace(_MOUNT, mount) for word in words]


def run_command(command: list[str]) -> None:
    """Run a command again and again from the parent's word until asked to end; send the outcome.

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
        # Kill what it left in its group; the group's number is not reused before it is reaped.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        statuses[os.waitstatus_to_exitcode(status)] += 1
        _reap_orphans()


def children_of(pid: int) -> list[int]:
    """Return the children of this process, including those that ended and were not reaped."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it has ended since
            continue
        if int(parent) == pid:
            found.append(int(stat.parent.name))
    return found


def end_children() -> None:
    """Kill all children, and the orphans that then become children."""
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
    """Return true when a child has ended, not yet reaped; false if asked to stop first."""
    while signal.sigwait(_AWAITED) == signal.SIGCHLD:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return True
    return False


def _describe(status: int, times: int) -> str:
    how = f"killed by signal {-status}" if status < 0 else f"status {status}"
    return f"failed each time: {how}, {times} times"
