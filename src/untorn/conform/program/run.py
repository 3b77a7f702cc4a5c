"""Run a program: start it, trace it in a thread of its own, and compare its calls."""

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Thread
from time import monotonic

from untorn.conform.program.outcome import ProgramRun
from untorn.conform.program.start import start_program
from untorn.conform.program.tracer import OPTIONS, Tracer
from untorn.conform.program.world import World
from untorn.conform.traced.bounds import limits_of
from untorn.conform.traced.minimal_child import MinimalChild
from untorn.errors import OutOfReachError, describe
from untorn.processes.endings import wait_readable
from untorn.releases.changes import PAGEMAP_SCAN_IOCTL
from untorn.releases.release import running_release

_REPORT_EVERY = 0.2
"""Seconds."""


def run_program(
    command: Sequence[str],
    report: Callable[[ProgramRun], None] = lambda run: None,
    *,
    filtered: bool = True,
    records: bool = False,
) -> ProgramRun:
    """Run a program and all its descendants to their end; compare their memory calls.

    Inside endings_held(), Ctrl-C or SIGTERM kills all of them.

    Args:
        command: Its name, looked up as a shell does, and its arguments.
        report: Called now and then with the results so far.
        filtered: Stop the program only at relevant calls, by a seccomp filter. It cannot then debug
            other processes.
        records: Keep the history of each address space.

    Raises:
        OutOfReachError: It cannot be started or traced.
    """
    if not running_release().has(PAGEMAP_SCAN_IOCTL):
        raise OutOfReachError("only PAGEMAP_SCAN (since Linux 6.7) shows what a program wrote")
    path = find_program(command[0])
    with MinimalChild() as child:
        machine = limits_of(child)
    run = ProgramRun()
    tracing = _Tracing(World(machine, run, records=records), path, command, filtered=filtered)
    begin = monotonic()
    tracing.start()
    while not tracing.wait(_REPORT_EVERY):
        report(run)
    run.seconds = monotonic() - begin
    tracing.raise_failure()
    return run


def find_program(name: str) -> str:
    """Return the path of a program, preferably an executable one; for others exec gives the reason.

    Args:
        name: Its name, looked up as a shell does.

    Raises:
        OutOfReachError: There is no file of this name.
    """
    path = shutil.which(name) or shutil.which(name, os.F_OK)
    if path is None:
        raise OutOfReachError(f"{name}: no such program")
    return path


class _Tracing(Thread):
    """The tracing thread: ptrace(2) ties a program to a thread."""

    def __init__(self, world: World, path: str, command: Sequence[str], *, filtered: bool) -> None:
        super().__init__(name="tracer")
        self._world, self._path, self._command = world, path, command
        self._filtered = filtered
        self._tracer = Tracer(world, filtered=filtered)
        self._failure: BaseException | None = None
        self._done, self._doing = os.pipe2(os.O_CLOEXEC)

    def run(self) -> None:
        """Start the program and trace it."""
        try:
            pid = start_program(self._path, self._command, OPTIONS, filtered=self._filtered)
            self._tracer.trace(pid)
        except BaseException as error:  # the waiting thread raises it again
            self._failure = error
        finally:
            os.close(self._doing)

    def wait(self, seconds: float) -> bool:
        """Wait for the end; return whether it came. An ending that was asked for kills it."""
        try:
            done = wait_readable(self._done, seconds)
        except KeyboardInterrupt:
            self._world.run.interrupted = True
            done = False
        if self._world.run.interrupted:
            self._kill()
        if done:
            self.join()
        return done

    def raise_failure(self) -> None:
        """Raise the error that ended the tracing early, if there was one."""
        os.close(self._done)
        if isinstance(self._failure, OSError):
            reason = describe(self._failure)
            raise OutOfReachError(f"{self._path}: {reason}") from self._failure
        if self._failure is not None:
            raise self._failure

    def _kill(self) -> None:
        """Kill what is traced now; new descendants are killed the next time."""
        for process in list(self._tracer.processes.values()):
            with suppress(OSError):  # it has ended
                signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
