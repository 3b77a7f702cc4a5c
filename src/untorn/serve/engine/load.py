"""Load a Python file that makes processes of the engine."""

import runpy
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from untorn.errors import OutOfReachError
from untorn.serve.engine.guest import Guest, Processes
from untorn.syscalls import Process


@dataclass(frozen=True, slots=True)
class Emulator:
    """What a file makes.

    Attributes:
        processes: The processes, by PID.
        run: A function that goes on changing them.
        path: Path of the file.
    """

    processes: Processes
    run: Callable[[], object]
    path: str

    def start(self) -> threading.Thread:
        """Return a thread that runs `run`. A warning says so if that fails."""
        thread = threading.Thread(target=self._run, name="untorn-emulator", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        try:
            self.run()
        except (Exception, SystemExit) as error:  # the processes are shown as they are now
            warnings.warn(where(error, self.path), RuntimeWarning, stacklevel=2)


def load(path: str) -> Emulator:
    """Run a Python file, which must define `processes` and may define `run`.

    Raises:
        OSError: The file cannot be read.
        OutOfReachError: It fails, or defines something else; the message has file and line.
    """
    Path(path).open("rb").close()  # its errors are not those of what the file does
    try:
        names = runpy.run_path(path)
    except (Exception, SystemExit) as error:
        raise OutOfReachError(where(error, path)) from error
    processes, run = names.get("processes"), names.get("run", lambda: None)
    if not isinstance(processes, Mapping):
        raise OutOfReachError(f"{path}: it defines no mapping named processes")
    for pid, process in processes.items():
        if not isinstance(pid, int) or pid < 1:
            raise OutOfReachError(f"{path}: processes: {pid!r} is no PID")
        if not isinstance(process, Process | Guest):
            raise OutOfReachError(f"{path}: processes[{pid}] is {process!r}, no Process or Guest")
    if not callable(run):
        raise OutOfReachError(f"{path}: run is not a function")
    return Emulator(processes, run, path)


def where(error: BaseException, path: str) -> str:
    """Return one line that says what failed in a file, and in which of its lines."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    message = str(error)
    if isinstance(error, SyntaxError):
        lines, message = [error.lineno], error.msg
    place = f"{path}:{lines[-1]}" if lines and lines[-1] else path
    return f"{place}: {type(error).__name__}: {message}".replace("\n", " ")
